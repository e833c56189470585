{{/* Which setting each service gets, and whether from its ConfigMap or from the Secret. A service is given nothing it does not use. */}}

{{- define "tributary.usesSasl" -}}
{{- if hasPrefix "SASL_" .Values.kafka.securityProtocol }}yes{{ end }}
{{- end }}

{{/* The plain settings of one service: the data of its ConfigMap. */}}
{{- define "tributary.config" -}}
{{- $values := .root.Values -}}
NODE_ENV: production
LOG_LEVEL: {{ $values.logLevel | quote }}
PORT: {{ include "tributary.port" . | quote }}
{{- if ne .service "gateway" }}
MONGO_DATABASE: {{ $values.mongo.database | quote }}
{{- end }}
{{- if has .service (list "pipelines" "worker") }}
KAFKA_BROKERS: {{ required "kafka.brokers is needed: --set 'kafka.brokers={broker-0:9092,broker-1:9092}'" (join "," $values.kafka.brokers) | quote }}
KAFKA_SECURITY_PROTOCOL: {{ $values.kafka.securityProtocol | quote }}
{{- if include "tributary.usesSasl" .root }}
KAFKA_SASL_MECHANISM: {{ required (printf "kafka.sasl.mechanism is needed with kafka.securityProtocol=%s" $values.kafka.securityProtocol) $values.kafka.sasl.mechanism | quote }}
KAFKA_SASL_USERNAME: {{ required (printf "kafka.sasl.username is needed with kafka.securityProtocol=%s" $values.kafka.securityProtocol) $values.kafka.sasl.username | quote }}
{{- end }}
{{- with $values.kafka.caCert }}
KAFKA_CA_CERT: {{ . | quote }}
{{- end }}
{{- end }}
{{- if ne .service "connectors" }}
NAMESPACE: {{ $values.namespace | quote }}
{{- end }}
{{- if ne .service "pipelines" }}
PIPELINES_URL: {{ printf "http://%s-pipelines:8010" (include "tributary.fullname" .root) | quote }}
{{- end }}
{{- if ne .service "connectors" }}
CONNECTORS_URL: {{ printf "http://%s-connectors:8009" (include "tributary.fullname" .root) | quote }}
{{- end }}
{{- if eq .service "gateway" }}
{{- with $values.gateway.corsOrigins }}
CORS_ORIGINS: {{ join "," . | quote }}
{{- end }}
{{- else if eq .service "pipelines" }}
{{- with $values.pipelines.superuser.email }}
SUPERUSER_EMAIL: {{ . | quote }}
{{- end }}
{{- else if eq .service "worker" }}
WORKER_SLOTS: {{ $values.worker.slots | quote }}
{{- end }}
{{- if has .service (list "connectors" "worker") }}
{{- /* The root filesystem is read-only: drivers that keep files in the home folder find a writable one. */}}
HOME: /tmp
{{- if $values.files.existingClaim }}
CONNECTOR_FILE_ROOT: {{ $values.files.mountPath | quote }}
{{- end }}
{{- end }}
{{- end }}

{{/* The names of the secret settings of one service, joined by spaces: each is a key of the Secret. */}}
{{- define "tributary.secretSettings" -}}
{{- $names := get (dict
  "gateway" (list "REDIS_URL" "JWT_SECRET")
  "connectors" (list "MONGO_URI" "SERVICE_TOKEN" "CONNECTOR_ENCRYPTION_KEY")
  "pipelines" (list "MONGO_URI" "JWT_SECRET" "SERVICE_TOKEN")
  "worker" (list "MONGO_URI" "REDIS_URL" "SERVICE_TOKEN")) .service }}
{{- if and (has .service (list "pipelines" "worker")) (include "tributary.usesSasl" .root) }}
{{- $names = append $names "KAFKA_SASL_PASSWORD" }}
{{- end }}
{{- if and (eq .service "pipelines") .root.Values.pipelines.superuser.email }}
{{- $names = append $names "SUPERUSER_PASSWORD" }}
{{- end }}
{{- join " " $names }}
{{- end }}

{{/* The data of the chart's own Secret. Messages name what is missing or wrong, never the value. */}}
{{- define "tributary.secretData" -}}
{{- $secrets := .Values.secrets -}}
{{- $or := "or name a Secret that has all of them in secrets.existingSecret" -}}
MONGO_URI: {{ required (printf "secrets.mongoUri is needed, such as mongodb://user:password@host:27017/; %s" $or) $secrets.mongoUri | quote }}
REDIS_URL: {{ required (printf "secrets.redisUrl is needed, such as redis://:password@host:6379; %s" $or) $secrets.redisUrl | quote }}
JWT_SECRET: {{ required (printf "secrets.jwtSecret is needed: make one with `openssl rand -base64 48` and keep it; %s" $or) $secrets.jwtSecret | quote }}
SERVICE_TOKEN: {{ required (printf "secrets.serviceToken is needed: make one with `openssl rand -hex 32` and keep it; %s" $or) $secrets.serviceToken | quote }}
CONNECTOR_ENCRYPTION_KEY: {{ required (printf "secrets.connectorEncryptionKey is needed: make one with `openssl rand -base64 32 | tr '+/' '-_'` and keep it, since stored credentials cannot be read without it; %s" $or) $secrets.connectorEncryptionKey | quote }}
{{- if include "tributary.usesSasl" . }}
KAFKA_SASL_PASSWORD: {{ required (printf "secrets.kafkaSaslPassword is needed with kafka.securityProtocol=%s; %s" .Values.kafka.securityProtocol $or) $secrets.kafkaSaslPassword | quote }}
{{- end }}
{{- if .Values.pipelines.superuser.email }}
SUPERUSER_PASSWORD: {{ required (printf "secrets.superuserPassword is needed with pipelines.superuser.email; %s" $or) $secrets.superuserPassword | quote }}
{{- end }}
{{- if lt (len $secrets.jwtSecret) 32 }}
{{- fail "secrets.jwtSecret is too short: at least 32 characters" }}
{{- end }}
{{- if lt (len $secrets.serviceToken) 32 }}
{{- fail "secrets.serviceToken is too short: at least 32 characters" }}
{{- end }}
{{- if not (regexMatch "^[A-Za-z0-9_-]{43}=(,[A-Za-z0-9_-]{43}=)*$" $secrets.connectorEncryptionKey) }}
{{- fail "secrets.connectorEncryptionKey is not a Fernet key: 32 bytes in URL-safe base64, 44 characters with '=' at the end; several are separated by commas" }}
{{- end }}
{{- end }}
