{{- /* What every pod of ours has in common; argument: the root. */ -}}
{{- define "celeryscope.podCommon" -}}
serviceAccountName: {{ include "celeryscope.name" . }}
automountServiceAccountToken: false
{{- /* They would be called like our settings: CELERYSCOPE_COLLECTOR_PORT=tcp://... */}}
enableServiceLinks: false
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  fsGroup: 10001
  seccompProfile:
    type: RuntimeDefault
{{- with .Values.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- /* Pods of a component on different nodes where there are several, or what the values say; argument: (list $ "x"). */ -}}
{{- define "celeryscope.placement" -}}
{{- $root := index . 0 -}}
{{- if $root.Values.affinity -}}
affinity: {{- toYaml $root.Values.affinity | nindent 2 }}
{{- else -}}
topologySpreadConstraints:
  - maxSkew: 1
    topologyKey: kubernetes.io/hostname
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels: {{- include "celeryscope.selector" . | nindent 8 }}
{{- end }}
{{- end }}

{{- define "celeryscope.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end }}

{{- /* Settings as environment variables; argument: (list "CELERYSCOPE_KAFKA_" map). */ -}}
{{- define "celeryscope.settings" -}}
{{- $prefix := index . 0 -}}
{{- range $name, $value := index . 1 }}
- name: {{ $prefix }}{{ $name }}
  value: {{ $value | quote }}
{{- end }}
{{- end }}

{{- define "celeryscope.kafkaEnvironment" -}}
- name: CELERYSCOPE_KAFKA_BOOTSTRAP_SERVERS
  value: {{ .Values.kafka.bootstrapServers | quote }}
{{- if .Values.kafka.caSecret }}
- name: CELERYSCOPE_KAFKA_SSL_CA_FILE
  value: /etc/celeryscope/kafka/ca.crt
{{- end }}
{{- include "celeryscope.settings" (list "CELERYSCOPE_KAFKA_" .Values.kafka.settings) }}
{{- end }}

{{- define "celeryscope.elasticsearchEnvironment" -}}
- name: CELERYSCOPE_ELASTICSEARCH_URL
  value: {{ .Values.elasticsearch.url | quote }}
{{- if .Values.elasticsearch.caSecret }}
- name: CELERYSCOPE_ELASTICSEARCH_CA_FILE
  value: /etc/celeryscope/elasticsearch/ca.crt
{{- end }}
{{- include "celeryscope.settings" (list "CELERYSCOPE_ELASTICSEARCH_" .Values.elasticsearch.settings) }}
{{- end }}

{{- /* Secrets whose keys are settings; argument: a list of names, of which empty ones are left out. */ -}}
{{- define "celeryscope.secretEnvironment" -}}
{{- range compact . }}
- secretRef:
    name: {{ . }}
{{- end }}
{{- end }}

{{- /* A name with an address for each pod, for whoever reads /metrics of all; argument: (list $ component port-name port). */ -}}
{{- define "celeryscope.eachPod" -}}
{{- $root := index . 0 -}}
{{- $component := index . 1 -}}
apiVersion: v1
kind: Service
metadata:
  name: {{ include "celeryscope.name" $root }}-{{ $component }}-each
  labels: {{- include "celeryscope.labels" (list $root $component) | nindent 4 }}
spec:
  clusterIP: None
  # Also of one that is not ready: that it waits, for Kafka or for Elasticsearch, is what it tells then.
  publishNotReadyAddresses: true
  selector: {{- include "celeryscope.selector" (list $root $component) | nindent 4 }}
  ports:
    - name: {{ index . 2 }}
      port: {{ index . 3 }}
      targetPort: {{ index . 2 }}
{{- end }}

{{- define "celeryscope.mounts" -}}
- name: tmp
  mountPath: /tmp
{{- if .Values.kafka.caSecret }}
- name: kafka-ca
  mountPath: /etc/celeryscope/kafka
  readOnly: true
{{- end }}
{{- if .Values.elasticsearch.caSecret }}
- name: elasticsearch-ca
  mountPath: /etc/celeryscope/elasticsearch
  readOnly: true
{{- end }}
{{- end }}

{{- define "celeryscope.volumes" -}}
- name: tmp
  emptyDir:
    sizeLimit: 64Mi
{{- with .Values.kafka.caSecret }}
- name: kafka-ca
  secret:
    secretName: {{ . }}
{{- end }}
{{- with .Values.elasticsearch.caSecret }}
- name: elasticsearch-ca
  secret:
    secretName: {{ . }}
{{- end }}
{{- end }}
