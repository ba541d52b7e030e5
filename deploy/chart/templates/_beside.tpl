{{- /* The controller in a node's pod, with roles together. */ -}}
{{- define "sluice.controllerBeside" -}}
{{- $settings := dict "node-socket" "/run/sluice/nodes.sock" -}}
{{- /* There is one on every node: each writes the NodeReport of its own, and one of them the statuses. */ -}}
{{- $_ := set $settings "node-reports" "relay" -}}
{{- /* Two pods share the node's ports during a rolling update, and nothing waits for a controller. */ -}}
{{- $_ := mergeOverwrite $settings (dict "health-address" "off" "metrics-address" "off") -}}
{{- $own := omit .Values.config "health-address" "metrics-address" -}}
{{- $settings = mergeOverwrite $settings (include "sluice.controllerSettings" . | fromJson) $own .Values.controller.config -}}
- name: controller
  image: {{ include "sluice.image" . }}
  imagePullPolicy: {{ .Values.image.pullPolicy }}
  args: {{ prepend .Values.controller.args "controller" | toJson }}
  env:
    {{- include "sluice.place" . | nindent 4 }}
    {{- include "sluice.settings" $settings | trim | nindent 4 }}
    {{- with .Values.controller.extraEnv }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- include "sluice.liveness" . | nindent 2 }}
  resources:
    {{- toYaml .Values.node.controller.resources | nindent 4 }}
  securityContext:
    # The user that the node goes on as: the socket is for that one alone.
    {{- include "sluice.unprivileged" . | nindent 4 }}
    seccompProfile: {type: RuntimeDefault}
  volumeMounts:
    - {name: stream, mountPath: /run/sluice}
    - {name: controller-probe, mountPath: /run/sluice-probe}
    - {name: account, mountPath: /var/run/secrets/kubernetes.io/serviceaccount, readOnly: true}
    {{- with .Values.controller.extraVolumeMounts }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
{{- end -}}
