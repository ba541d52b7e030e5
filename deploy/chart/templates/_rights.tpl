{{- /* Rights on what lives in namespaces: of the whole cluster, or of each namespace that is watched. */ -}}
{{- define "sluice.rightsInNamespaces" -}}
# Resources that are served, and their endpoints.
- apiGroups: [gateway.networking.k8s.io]
  resources: [gateways, listenersets, httproutes, grpcroutes, tcproutes, tlsroutes, udproutes, referencegrants, backendtlspolicies]
  verbs: [list, watch]
- apiGroups: [sluice.dev]
  resources: [gatewayconfigs]
  verbs: [list, watch]
- apiGroups: [""]
  resources: [services, secrets, configmaps]
  verbs: [list, watch]
- apiGroups: [discovery.k8s.io]
  resources: [endpointslices]
  verbs: [list, watch]
# Statuses and Events.
- apiGroups: [gateway.networking.k8s.io]
  resources: [gateways/status, listenersets/status, httproutes/status, grpcroutes/status, tcproutes/status, tlsroutes/status, udproutes/status, backendtlspolicies/status]
  verbs: [patch]
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create, patch]
{{- $given := mergeOverwrite (dict) .Values.config .Values.controller.config }}
{{- if ne (toString (get $given "gateway-accounts")) "false" }}
# Accounts that carry the infrastructure of Gateways, whose names they have. No right on tokens, and none to delete.
- apiGroups: [""]
  resources: [serviceaccounts]
  verbs: [list, create, patch]
{{- end }}
{{- end -}}

{{- /* A binding to the controllers' account: of a list of the context, its kind, its name, and its namespace if it has one. */ -}}
{{- define "sluice.binding" -}}
{{- $root := index . 0 -}}
{{- $kind := index . 1 -}}
apiVersion: rbac.authorization.k8s.io/v1
kind: {{ $kind }}Binding
metadata:
  name: {{ index . 2 }}
  {{- with index . 3 }}
  namespace: {{ . }}
  {{- end }}
  labels:
    {{- include "sluice.labels" (list $root (include "sluice.account" $root)) | nindent 4 }}
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: {{ $kind }}
  name: {{ index . 2 }}
subjects:
  - kind: ServiceAccount
    name: {{ include "sluice.account" $root }}
    namespace: {{ include "sluice.controllerNamespace" $root }}
{{- end -}}

{{- /* The beginning of a role: of the same list. */ -}}
{{- define "sluice.role" -}}
{{- $root := index . 0 -}}
apiVersion: rbac.authorization.k8s.io/v1
kind: {{ index . 1 }}
metadata:
  name: {{ index . 2 }}
  {{- with index . 3 }}
  namespace: {{ . }}
  {{- end }}
  labels:
    {{- include "sluice.labels" (list $root (include "sluice.account" $root)) | nindent 4 }}
rules:
{{- end -}}
