// Sends one span and one log record through each of OpenTelemetry's own exporters for Node.
//
// Arguments: the address of HTTP, that of gRPC, the token, a text to find the records by. Prints one line for each exporter:
// its name, and "ok" or its error.
import { SeverityNumber } from "@opentelemetry/api-logs";
import { ExportResultCode } from "@opentelemetry/core";
import { OTLPLogExporter as LogsGrpc } from "@opentelemetry/exporter-logs-otlp-grpc";
import { OTLPLogExporter as LogsJson } from "@opentelemetry/exporter-logs-otlp-http";
import { OTLPLogExporter as LogsProto } from "@opentelemetry/exporter-logs-otlp-proto";
import { OTLPTraceExporter as TraceGrpc } from "@opentelemetry/exporter-trace-otlp-grpc";
import { OTLPTraceExporter as TraceJson } from "@opentelemetry/exporter-trace-otlp-http";
import { OTLPTraceExporter as TraceProto } from "@opentelemetry/exporter-trace-otlp-proto";
import { Metadata } from "@grpc/grpc-js";
import { LoggerProvider } from "@opentelemetry/sdk-logs";
import { BasicTracerProvider } from "@opentelemetry/sdk-trace-base";

const [http, grpc, token, text] = process.argv.slice(2);
const headers = { authorization: `Bearer ${token}` };
const idle = { forceFlush: async () => {}, shutdown: async () => {}, enabled: () => true };
const metadata = new Metadata();
metadata.set("authorization", headers.authorization);

await send("trace-otlp-http", new TraceJson({ url: `http://${http}/v1/traces`, headers, compression: "gzip" }), span);
await send("trace-otlp-proto", new TraceProto({ url: `http://${http}/v1/traces`, headers }), span);
await send("trace-otlp-grpc", new TraceGrpc({ url: `http://${grpc}`, metadata, compression: "gzip" }), span);
await send("logs-otlp-http", new LogsJson({ url: `http://${http}/v1/logs`, headers, compression: "gzip" }), record);
await send("logs-otlp-proto", new LogsProto({ url: `http://${http}/v1/logs`, headers }), record);
await send("logs-otlp-grpc", new LogsGrpc({ url: `http://${grpc}`, metadata }), record);

async function send(name, exporter, make) {
  const result = await new Promise((resolve) => exporter.export([make(name)], resolve));
  console.log(name, result.code === ExportResultCode.SUCCESS ? "ok" : result.error);
  await exporter.shutdown();
}

// What the SDK hands to an exporter, caught on its way.
function span(name) {
  let caught;
  const spanProcessors = [{ ...idle, onStart: () => {}, onEnd: (ended) => (caught = ended) }];
  const started = new BasicTracerProvider({ spanProcessors }).getTracer("test").startSpan(`${text} ${name}`);
  started.setAttributes({ number: 17, list: ["a", "b"] });
  started.recordException(new Error("an error"));
  started.end();
  return caught;
}

function record(name) {
  let caught;
  const processors = [{ ...idle, onEmit: (emitted) => (caught = emitted) }];
  const logger = new LoggerProvider({ processors }).getLogger("test");
  logger.emit({ severityNumber: SeverityNumber.WARN, body: `${text} ${name}`, attributes: { number: 17 } });
  return caught;
}
