{{/* Labels of every object; the argument is (dict "root" $ "component" "operator"). */}}
{{- define "stoq.labels" -}}
app.kubernetes.io/name: stoq
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/component: {{ .component }}
app.kubernetes.io/part-of: stoq
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ .root.Chart.Name }}-{{ .root.Chart.Version }}
{{- with .root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* What chooses the operator's pods; never changes, since Deployments refuse that. */}}
{{- define "stoq.selector" -}}
app.kubernetes.io/name: stoq
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: operator
{{- end }}

{{/* What chooses the pods of the node agent; never changes either. */}}
{{- define "stoq.nodeSelector" -}}
app.kubernetes.io/name: stoq
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: node
{{- end }}

{{/* What chooses the pods of the gateway; never changes either. */}}
{{- define "stoq.gatewaySelector" -}}
app.kubernetes.io/name: stoq
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: gateway
{{- end }}

{{/* An image; the argument is (dict "root" $ "of" "sidecar"). */}}
{{- define "stoq.image" -}}
{{- $values := .root.Values -}}
{{- $repository := (index $values.images .of).repository -}}
{{- with $values.image.registry }}{{ . }}/{{ end }}{{ $repository }}:{{ $values.image.tag | default .root.Chart.AppVersion }}
{{- end }}

{{/* Not empty where agents capture the applications' UDP. */}}
{{- define "stoq.capturesUdp" -}}
{{- if and (eq .Values.capture.mode "node") .Values.capture.udp }}true{{ end }}
{{- end }}

{{/* What the Pod Security Standard restricted asks of a container. */}}
{{- define "stoq.restricted" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end }}

{{/* Namespaces that are never meshed, as expressions of a namespaceSelector. */}}
{{- define "stoq.notSystem" -}}
- key: kubernetes.io/metadata.name
  operator: NotIn
  values: [kube-system, {{ .Release.Namespace }}]
{{- end }}
