{{/* The objects every service has. They take (dict "root" $ "service" "gateway"). */}}

{{- define "tributary.serviceAccount" -}}
{{- if .root.Values.serviceAccount.create -}}
apiVersion: v1
kind: ServiceAccount
metadata:
  name: {{ include "tributary.serviceName" . }}
  labels: {{- include "tributary.labels" . | nindent 4 }}
  {{- with .root.Values.serviceAccount.annotations }}
  annotations: {{- toYaml . | nindent 4 }}
  {{- end }}
automountServiceAccountToken: false
{{- end }}
{{- end }}

{{- define "tributary.configMap" -}}
apiVersion: v1
kind: ConfigMap
metadata:
  name: {{ include "tributary.serviceName" . }}
  labels: {{- include "tributary.labels" . | nindent 4 }}
data: {{- include "tributary.config" . | nindent 2 }}
{{- end }}

{{- define "tributary.service" -}}
{{- $values := get .root.Values .service -}}
apiVersion: v1
kind: Service
metadata:
  name: {{ include "tributary.serviceName" . }}
  labels: {{- include "tributary.labels" . | nindent 4 }}
  {{- if ne .service "worker" }}
  {{- with $values.service.annotations }}
  annotations: {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- end }}
spec:
  {{- if eq .service "worker" }}
  # Nobody calls a worker. This names its pods for scraping, those that are not ready too.
  clusterIP: None
  publishNotReadyAddresses: true
  {{- else }}
  type: {{ $values.service.type }}
  {{- end }}
  selector: {{- include "tributary.selectorLabels" . | nindent 4 }}
  ports:
    - {name: http, port: {{ include "tributary.port" . }}, targetPort: http, protocol: TCP, appProtocol: http}
{{- end }}

{{- define "tributary.podDisruptionBudget" -}}
{{- $values := get .root.Values .service -}}
{{- if $values.podDisruptionBudget.enabled -}}
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  name: {{ include "tributary.serviceName" . }}
  labels: {{- include "tributary.labels" . | nindent 4 }}
spec:
  maxUnavailable: {{ $values.podDisruptionBudget.maxUnavailable }}
  # A pod that is not ready serves nobody; a drain need not wait for it.
  unhealthyPodEvictionPolicy: AlwaysAllow
  selector:
    matchLabels: {{- include "tributary.selectorLabels" . | nindent 6 }}
{{- end }}
{{- end }}

{{- define "tributary.deployment" -}}
{{- $root := .root -}}
{{- $service := .service -}}
{{- $values := get $root.Values $service -}}
{{- $files := and (has $service (list "connectors" "worker")) $root.Values.files.existingClaim -}}
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ include "tributary.serviceName" . }}
  labels: {{- include "tributary.labels" . | nindent 4 }}
spec:
  {{- if not (and (eq $service "worker") $root.Values.worker.autoscaling.enabled) }}
  replicas: {{ $values.replicas }}
  {{- end }}
  revisionHistoryLimit: 5
  minReadySeconds: 5
  strategy:
    type: RollingUpdate
    # No pod goes before another is ready in its place.
    rollingUpdate: {maxSurge: 25%, maxUnavailable: 0}
  selector:
    matchLabels: {{- include "tributary.selectorLabels" . | nindent 6 }}
  template:
    metadata:
      # Without the chart's version: a new chart alone does not replace pods.
      labels:
        {{- include "tributary.selectorLabels" . | nindent 8 }}
        app.kubernetes.io/part-of: tributary
        {{- with $root.Values.commonLabels }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
        {{- with $values.podLabels }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      annotations:
        # A changed setting replaces the pods. A Secret made elsewhere is not seen: restart the deployment after a change.
        checksum/config: {{ include "tributary.config" . | sha256sum }}
        {{- if not $root.Values.secrets.existingSecret }}
        checksum/secret: {{ include "tributary.secretData" $root | sha256sum }}
        {{- end }}
        {{- if $root.Values.metrics.scrapeAnnotations }}
        prometheus.io/scrape: 'true'
        prometheus.io/port: {{ include "tributary.port" . | quote }}
        prometheus.io/path: /metrics
        {{- end }}
        {{- with $values.podAnnotations }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
    spec:
      serviceAccountName: {{ include "tributary.serviceAccountName" . }}
      automountServiceAccountToken: false
      # Kubernetes would add variables such as TRIBUTARY_GATEWAY_PORT to the environment.
      enableServiceLinks: false
      {{- with $root.Values.image.pullSecrets }}
      imagePullSecrets:
        {{- range . }}
        - name: {{ . | quote }}
        {{- end }}
      {{- end }}
      securityContext: {{- toYaml $root.Values.podSecurityContext | nindent 8 }}
      terminationGracePeriodSeconds: {{ $values.terminationGracePeriodSeconds }}
      {{- with $values.priorityClassName }}
      priorityClassName: {{ . | quote }}
      {{- end }}
      {{- with $values.nodeSelector }}
      nodeSelector: {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with $values.tolerations }}
      tolerations: {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with $values.affinity }}
      affinity: {{- toYaml . | nindent 8 }}
      {{- end }}
      topologySpreadConstraints:
        {{- range list "kubernetes.io/hostname" "topology.kubernetes.io/zone" }}
        - topologyKey: {{ . }}
          maxSkew: 1
          whenUnsatisfiable: ScheduleAnyway
          matchLabelKeys: [pod-template-hash]
          labelSelector:
            matchLabels: {{- include "tributary.selectorLabels" (dict "root" $root "service" $service) | nindent 14 }}
        {{- end }}
      containers:
        - name: {{ $service }}
          image: {{ include "tributary.image" . | quote }}
          imagePullPolicy: {{ $root.Values.image.pullPolicy }}
          securityContext: {{- toYaml $root.Values.securityContext | nindent 12 }}
          ports:
            - {name: http, containerPort: {{ include "tributary.port" . }}, protocol: TCP}
          envFrom:
            - configMapRef: {name: {{ include "tributary.serviceName" . }}}
          env:
            {{- range splitList " " (include "tributary.secretSettings" .) }}
            - name: {{ . }}
              valueFrom: {secretKeyRef: {name: {{ include "tributary.secretName" $root }}, key: {{ . }}}}
            {{- end }}
            {{- with $values.extraEnv }}
            {{- toYaml . | nindent 12 }}
            {{- end }}
          startupProbe:
            httpGet: {path: /livez, port: http}
            {{- toYaml $root.Values.probes.startup | nindent 12 }}
          livenessProbe:
            httpGet: {path: /livez, port: http}
            {{- toYaml $root.Values.probes.liveness | nindent 12 }}
          readinessProbe:
            httpGet: {path: /readyz, port: http}
            {{- toYaml $root.Values.probes.readiness | nindent 12 }}
          {{- if ne $service "worker" }}
          lifecycle:
            # Requests still arrive until every node has heard that the pod goes.
            preStop: {sleep: {seconds: 5}}
          {{- end }}
          resources: {{- toYaml $values.resources | nindent 12 }}
          volumeMounts:
            - {name: temporary, mountPath: /tmp}
            {{- if $files }}
            - {name: files, mountPath: {{ $root.Values.files.mountPath | quote }}}
            {{- end }}
      volumes:
        - name: temporary
          emptyDir: {sizeLimit: {{ ternary $root.Values.worker.temporarySize "256Mi" (eq $service "worker") }}}
        {{- if $files }}
        - name: files
          persistentVolumeClaim: {claimName: {{ $root.Values.files.existingClaim | quote }}}
        {{- end }}
{{- end }}
