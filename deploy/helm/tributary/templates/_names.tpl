{{- define "tributary.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 40 | trimSuffix "-" }}
{{- end }}

{{/* Cut to 50 characters: with "-connectors" behind it a Service's name stays within 63. */}}
{{- define "tributary.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" }}
{{- else if contains (include "tributary.name" .) .Release.Name -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" }}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "tributary.name" .) | trunc 50 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "tributary.secretName" -}}
{{- .Values.secrets.existingSecret | default (include "tributary.fullname" .) }}
{{- end }}

{{- define "tributary.port" -}}
{{- get (dict "gateway" 8080 "connectors" 8009 "pipelines" 8010 "worker" 8011) .service }}
{{- end }}

{{/* The templates from here on take (dict "root" $ "service" "gateway"). */}}

{{- define "tributary.serviceName" -}}
{{ include "tributary.fullname" .root }}-{{ .service }}
{{- end }}

{{- define "tributary.serviceAccountName" -}}
{{- if .root.Values.serviceAccount.create -}}
{{ include "tributary.serviceName" . }}
{{- else -}}
{{ .root.Values.serviceAccount.name | default "default" }}
{{- end }}
{{- end }}

{{- define "tributary.selectorLabels" -}}
app.kubernetes.io/name: {{ include "tributary.name" .root }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .service }}
{{- end }}

{{- define "tributary.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
app.kubernetes.io/part-of: tributary
{{ include "tributary.selectorLabels" . }}
{{- with .root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "tributary.image" -}}
{{- $image := .root.Values.image -}}
{{- with $image.registry }}{{ . | trimSuffix "/" }}/{{ end }}{{ $image.repository }}-{{ .service }}:{{ $image.tag | default .root.Chart.AppVersion }}
{{- end }}
