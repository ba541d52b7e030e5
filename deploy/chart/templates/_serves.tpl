{{- /* A container of a node's pod that serves clients: of a dictionary with the context, the container's name, the volume for its
probes, its settings and its resources. */ -}}
{{- define "sluice.serves" -}}
{{- with .root.Values.node -}}
- name: {{ $.name }}
  image: {{ include "sluice.image" $.root }}
  imagePullPolicy: {{ $.root.Values.image.pullPolicy }}
  args: {{ prepend .args "node" | toJson }}
  env:
    {{- include "sluice.place" $.root | nindent 4 }}
    {{- include "sluice.settings" $.settings | trim | nindent 4 }}
    {{- with .extraEnv }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- include "sluice.readiness" $.root | nindent 2 }}
  {{- include "sluice.liveness" $.root | nindent 2 }}
    # One that hangs does not drain.
    terminationGracePeriodSeconds: 10
  # The limit ends this pod rather than its neighbours on the node.
  resources:
    {{- toYaml $.resources | nindent 4 }}
  securityContext:
    {{- include "sluice.unprivileged" $.root | nindent 4 }}
  volumeMounts:
    - {name: state, mountPath: /var/lib/sluice}
    {{- if eq $.root.Values.roles "apart" }}
    - {name: controller, mountPath: /run/sluice-controller, readOnly: true}
    {{- else }}
    - {name: stream, mountPath: /run/sluice}
    {{- end }}
    - {name: helper, mountPath: /run/sluice-helper}
    - {name: {{ $.probe }}, mountPath: /run/sluice-probe}
    {{- if .lastGoodKeySecret }}
    - {name: last-good-key, mountPath: /etc/sluice-last-good, readOnly: true}
    {{- end }}
    {{- with .extraVolumeMounts }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
{{- end -}}
{{- end -}}
