// Package tracing follows single messages through the server: gateway, relay,
// owner, log; and loads and snapshots of documents. One message in so many is
// followed, and the others pay one comparison. A nil Tracer follows nothing, a
// nil Span records nothing; both may be used as they are.
package tracing

import (
	"context"
	"fmt"
	"net/url"
	"sync/atomic"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// Names of the spans.
const (
	// Message is a message of a client at the node that it is connected to.
	Message = "gateway.message"
	// Relay is the way of a message to another node.
	Relay = "relay.message"
	// Owner is a message in the inbox of its document, and what is done with it.
	Owner = "owner.message"
	// Commit is the time from then until the log has it.
	Commit = "log.commit"
	// Load is the loading of a document.
	Load = "document.load"
	// Store is the storing of a snapshot or a segment.
	Store = "snapshot.store"
)

// Tracer makes spans. It may be used from any goroutine.
type Tracer struct {
	provider *sdk.TracerProvider
	tracer   trace.Tracer
	every    uint64
	seen     atomic.Uint64
}

// New returns a tracer that follows one message in every, and sends spans to an
// exporter in batches.
func New(exporter sdk.SpanExporter, every int, version, node string) *Tracer {
	provider := sdk.NewTracerProvider(
		sdk.WithBatcher(exporter),
		sdk.WithResource(resource.NewSchemaless(
			attribute.String("service.name", "ysync"), attribute.String("service.version", version), attribute.String("service.instance.id", node))),
	)
	return &Tracer{provider: provider, tracer: provider.Tracer("ysync"), every: uint64(max(every, 1))}
}

// Exporter returns one that speaks OTLP over HTTP to a collector, such as
// http://127.0.0.1:4318.
func Exporter(ctx context.Context, endpoint string) (sdk.SpanExporter, error) {
	at, err := url.Parse(endpoint)
	if err != nil {
		return nil, fmt.Errorf("traces: %w", err)
	}
	if at.Path == "" || at.Path == "/" {
		at = at.JoinPath("v1", "traces") // where collectors have it
	}
	exporter, err := otlptracehttp.New(ctx, otlptracehttp.WithEndpointURL(at.String()))
	if err != nil {
		return nil, fmt.Errorf("traces: %w", err)
	}
	return exporter, nil
}

// Close sends what is left.
func (t *Tracer) Close(ctx context.Context) error {
	if t == nil {
		return nil
	}
	return t.provider.Shutdown(ctx)
}

// Sampled starts a span for one in every calls, and returns nil else.
func (t *Tracer) Sampled(name string) *Span {
	if t == nil || t.seen.Add(1)%t.every != 0 {
		return nil
	}
	return t.Start(name)
}

// Start starts a span that has no parent. What it works on may come of others, which
// it is linked with; those that are nil are passed over.
func (t *Tracer) Start(name string, of ...*Span) *Span {
	if t == nil {
		return nil
	}
	var links []trace.Link
	for _, s := range of {
		if s != nil {
			links = append(links, trace.LinkFromContext(s.ctx))
		}
	}
	return t.start(context.Background(), name, trace.WithLinks(links...))
}

// Remote starts a span whose parent is at another node; nil if parent names
// none, as Span.Parent writes it.
func (t *Tracer) Remote(parent, name string) *Span {
	if t == nil || parent == "" {
		return nil
	}
	ctx := propagation.TraceContext{}.Extract(context.Background(), propagation.MapCarrier{"traceparent": parent})
	if !trace.SpanContextFromContext(ctx).IsValid() {
		return nil
	}
	return t.start(ctx, name)
}

func (t *Tracer) start(ctx context.Context, name string, options ...trace.SpanStartOption) *Span {
	ctx, span := t.tracer.Start(ctx, name, options...)
	return &Span{tracer: t, ctx: ctx, span: span}
}

// Span is a part of the way of one message.
type Span struct {
	tracer *Tracer
	ctx    context.Context
	span   trace.Span
}

// Child starts a span below s.
func (s *Span) Child(name string) *Span {
	if s == nil {
		return nil
	}
	return s.tracer.start(s.ctx, name)
}

// Text and Int note something about the span. No content of a document and no
// token is ever noted.
func (s *Span) Text(key, value string) *Span {
	if s != nil {
		s.span.SetAttributes(attribute.String("ysync."+key, value))
	}
	return s
}

// Int is Text for a number.
func (s *Span) Int(key string, value int) *Span {
	if s != nil {
		s.span.SetAttributes(attribute.Int("ysync."+key, value))
	}
	return s
}

// Fail notes that it went wrong; nil that it did not.
func (s *Span) Fail(err error) *Span {
	if s != nil && err != nil {
		s.span.SetStatus(codes.Error, err.Error())
	}
	return s
}

// End ends the span.
func (s *Span) End() {
	if s != nil {
		s.span.End()
	}
}

// Parent names the span to another node, in the form of the W3C's traceparent;
// empty for nil.
func (s *Span) Parent() string {
	if s == nil {
		return ""
	}
	carrier := propagation.MapCarrier{}
	propagation.TraceContext{}.Inject(s.ctx, carrier)
	return carrier["traceparent"]
}

// key is that of the span in a context.
type key struct{}

// With returns a context with the span; ctx itself for nil.
func With(ctx context.Context, s *Span) context.Context {
	if s == nil {
		return ctx
	}
	return context.WithValue(ctx, key{}, s)
}

// From returns the span of a context, nil if it has none.
func From(ctx context.Context) *Span {
	s, _ := ctx.Value(key{}).(*Span)
	return s
}
