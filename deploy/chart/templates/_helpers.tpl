{{- define "sluice.image" -}}
{{- with .Values.image -}}
{{- if .digest -}}
{{ .repository }}@{{ .digest }}
{{- else -}}
{{ .repository }}:{{ .tag | default $.Chart.AppVersion }}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "sluice.nodeNamespace" -}}
{{- $default := ternary "sluice-nodes" .Values.controller.namespace (eq .Values.roles "apart") -}}
{{- .Values.node.namespace | default $default -}}
{{- end -}}

{{- /* Namespace of the processes that hold the Lease. */ -}}
{{- define "sluice.controllerNamespace" -}}
{{- if eq .Values.roles "apart" -}}
{{ .Values.controller.namespace }}
{{- else -}}
{{ include "sluice.nodeNamespace" . }}
{{- end -}}
{{- end -}}

{{- /* Name of the controllers' account. */ -}}
{{- define "sluice.account" -}}
{{ .Values.name }}{{ if eq .Values.roles "apart" }}-controller{{ end }}
{{- end -}}

{{- /* Name of the DaemonSet, of its account and of its pods. */ -}}
{{- define "sluice.node" -}}
{{ .Values.name }}{{ if eq .Values.roles "apart" }}-node{{ end }}
{{- end -}}

{{- /* Labels of an object: of a list of the context and the name of the component. */ -}}
{{- define "sluice.labels" -}}
{{- $root := index . 0 -}}
app.kubernetes.io/name: {{ index . 1 }}
app.kubernetes.io/part-of: {{ $root.Values.name }}
{{- with $root.Values.labels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- /* Namespaces that are watched, with that of the class's parameters; empty for all. */ -}}
{{- define "sluice.watched" -}}
{{- with .Values.watchNamespaces -}}
{{- $own := list -}}
{{- if $.Values.gatewayClass.parameters.create -}}
{{- $own = list (include "sluice.controllerNamespace" $) -}}
{{- end -}}
{{ concat . $own | uniq | sortAlpha | join "," }}
{{- end -}}
{{- end -}}

{{- /* Controllers' settings that follow from values. */ -}}
{{- define "sluice.controllerSettings" -}}
{{- $settings := dict "state-dir" "/run/sluice/controller" "probe-socket" "/run/sluice-probe/socket" -}}
{{- with include "sluice.watched" . }}{{ $_ := set $settings "watch-namespaces" . }}{{ end -}}
{{- if ne .Values.gatewayClass.controllerName "sluice.dev/gateway" -}}
{{- $_ := set $settings "controller-name" .Values.gatewayClass.controllerName -}}
{{- end -}}
{{ toJson $settings }}
{{- end -}}

{{- /* Variables of settings: of a dictionary of their names and values. Numbers of a values file are floats. */ -}}
{{- define "sluice.settings" -}}
{{- range $name, $value := . -}}
{{- $text := toString $value -}}
{{- if kindIs "slice" $value }}{{ $text = join "," $value }}{{ end -}}
{{- if and (kindIs "float64" $value) (eq (floor $value) $value) }}{{ $text = printf "%.0f" $value }}{{ end }}
- {name: SLUICE_{{ $name | replace "-" "_" | upper }}, value: {{ $text | quote }}}
{{- end -}}
{{- end -}}

{{- /* Variables that tell a process where it is. */ -}}
{{- define "sluice.place" -}}
- name: NODE_NAME
  valueFrom: {fieldRef: {fieldPath: spec.nodeName}}
- name: POD_NAMESPACE
  valueFrom: {fieldRef: {fieldPath: metadata.namespace}}
# Names the holder of the state directory to the pod that takes over: as a process both are number 1.
- name: POD_NAME
  valueFrom: {fieldRef: {fieldPath: metadata.name}}
{{- end -}}

{{- /* Probes ask the container's own process, by a socket in a directory that no other one has: two pods share a machine's ports
while one takes over from the other. */ -}}
{{- define "sluice.readiness" -}}
readinessProbe:
  exec: {command: [sluice, probe, ready]}
  periodSeconds: 5
  timeoutSeconds: 3
{{- end -}}

{{- define "sluice.startup" -}}
startupProbe:
  exec: {command: [sluice, probe, live]}
  periodSeconds: 1
  timeoutSeconds: 3
  failureThreshold: 60
{{- end -}}

{{- define "sluice.liveness" -}}
livenessProbe:
  exec: {command: [sluice, probe, live]}
  periodSeconds: 10
  timeoutSeconds: 3
  failureThreshold: 6
{{- end -}}

{{- /* What a process has that needs no right on its machine. */ -}}
{{- define "sluice.unprivileged" -}}
runAsUser: 65532
runAsGroup: 65532
runAsNonRoot: true
readOnlyRootFilesystem: true
allowPrivilegeEscalation: false
capabilities: {drop: [ALL]}
{{- end -}}

{{- /* Refuses values that contradict each other, which a schema cannot say. */ -}}
{{- define "sluice.check" -}}
{{- if and (eq .Values.roles "apart") (eq (include "sluice.nodeNamespace" .) .Values.controller.namespace) -}}
{{- fail (printf "node.namespace: %s is also controller.namespace, which enforces the restricted Pod Security level; name another one for nodes, or set roles: together" .Values.controller.namespace) -}}
{{- end -}}
{{- end -}}
