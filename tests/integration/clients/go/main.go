// Sends one span and one log record through each of OpenTelemetry's own exporters for Go.
//
// Arguments: the address of HTTP, that of gRPC, the token, a text to find the records by. Prints one line for each exporter:
// its name, and "ok" or its error.
package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlplog/otlploggrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlplog/otlploghttp"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/log"
	sdklog "go.opentelemetry.io/otel/sdk/log"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
)

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	http, grpc, token, text := os.Args[1], os.Args[2], os.Args[3], os.Args[4]
	headers := map[string]string{"authorization": "Bearer " + token}

	traceHTTP, err := otlptracehttp.New(ctx, otlptracehttp.WithEndpoint(http), otlptracehttp.WithInsecure(),
		otlptracehttp.WithHeaders(headers), otlptracehttp.WithCompression(otlptracehttp.GzipCompression))
	sendSpan(ctx, "otlptracehttp", traceHTTP, err, text)
	traceGRPC, err := otlptracegrpc.New(ctx, otlptracegrpc.WithEndpoint(grpc), otlptracegrpc.WithInsecure(),
		otlptracegrpc.WithHeaders(headers), otlptracegrpc.WithCompressor("gzip"))
	sendSpan(ctx, "otlptracegrpc", traceGRPC, err, text)
	logHTTP, err := otlploghttp.New(ctx, otlploghttp.WithEndpoint(http), otlploghttp.WithInsecure(),
		otlploghttp.WithHeaders(headers))
	sendLog(ctx, "otlploghttp", logHTTP, err, text)
	logGRPC, err := otlploggrpc.New(ctx, otlploggrpc.WithEndpoint(grpc), otlploggrpc.WithInsecure(),
		otlploggrpc.WithHeaders(headers))
	sendLog(ctx, "otlploggrpc", logGRPC, err, text)
}

func sendSpan(ctx context.Context, name string, exporter *otlptrace.Exporter, err error, text string) {
	if err == nil {
		kept := &keeping{SpanExporter: exporter}
		provider := sdktrace.NewTracerProvider(sdktrace.WithSyncer(kept))
		_, span := provider.Tracer("test").Start(ctx, text+" "+name)
		span.SetAttributes(attribute.Int("number", 17), attribute.StringSlice("list", []string{"a", "b"}))
		span.RecordError(fmt.Errorf("an error"))
		span.End()
		err = kept.err
	}
	say(name, err)
}

// keeping remembers what an export failed with; the provider tells it to a global handler only.
type keeping struct {
	sdktrace.SpanExporter
	err error
}

func (k *keeping) ExportSpans(ctx context.Context, spans []sdktrace.ReadOnlySpan) error {
	k.err = k.SpanExporter.ExportSpans(ctx, spans)
	return k.err
}

func sendLog(ctx context.Context, name string, exporter sdklog.Exporter, err error, text string) {
	if err == nil {
		kept := &keepingLogs{Exporter: exporter}
		provider := sdklog.NewLoggerProvider(sdklog.WithProcessor(sdklog.NewSimpleProcessor(kept)))
		var record log.Record
		record.SetTimestamp(time.Now())
		record.SetSeverity(log.SeverityWarn)
		record.SetBody(attribute.StringValue(text + " " + name))
		record.AddAttributes(attribute.Int64("number", 17))
		provider.Logger("test").Emit(ctx, record)
		err = kept.err
	}
	say(name, err)
}

type keepingLogs struct {
	sdklog.Exporter
	err error
}

func (k *keepingLogs) Export(ctx context.Context, records []sdklog.Record) error {
	k.err = k.Exporter.Export(ctx, records)
	return k.err
}

func say(name string, err error) {
	if err != nil {
		fmt.Println(name, err)
	} else {
		fmt.Println(name, "ok")
	}
}
