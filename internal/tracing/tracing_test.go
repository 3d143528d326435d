package tracing

import (
	"context"
	"errors"
	"testing"

	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
)

// A span, one below it, and one at another node are one trace.
func TestOneTrace(t *testing.T) {
	exporter := tracetest.NewInMemoryExporter()
	here, there := New(exporter, 1, "1", "a"), New(exporter, 1, "1", "b")
	root := here.Sampled(Message).Text("document", "notes").Int("bytes", 3)
	ctx := With(t.Context(), root)
	child := From(ctx).Child(Relay)
	far := there.Remote(child.Parent(), Owner).Fail(errors.New("no"))
	far.End()
	child.End()
	root.End()
	here.Start(Store, child, nil).End()
	if err := errors.Join(here.provider.ForceFlush(t.Context()), there.provider.ForceFlush(t.Context())); err != nil {
		t.Fatal(err)
	}
	spans := exporter.GetSpans()
	if len(spans) != 4 {
		t.Fatalf("%d spans", len(spans))
	}
	byName := map[string]tracetest.SpanStub{}
	for _, s := range spans {
		byName[s.Name] = s
		if s.Name == Store {
			if len(s.Links) != 1 || s.Links[0].SpanContext.SpanID() != byName[Relay].SpanContext.SpanID() {
				t.Errorf("what is stored is linked with %v", s.Links)
			}
			continue
		}
		if s.SpanContext.TraceID() != spans[0].SpanContext.TraceID() {
			t.Errorf("%s is of another trace", s.Name)
		}
	}
	if got := byName[Owner].Parent.SpanID(); got != byName[Relay].SpanContext.SpanID() {
		t.Error("the far span is not below the relayed one")
	}
	if got := byName[Relay].Parent.SpanID(); got != byName[Message].SpanContext.SpanID() {
		t.Error("the relayed span is not below the message")
	}
	if byName[Owner].Status.Code != codes.Error {
		t.Error("the failure is not told")
	}
	if err := errors.Join(here.Close(t.Context()), there.Close(t.Context())); err != nil {
		t.Error(err)
	}
}

func TestSampling(t *testing.T) {
	tracer := New(tracetest.NewInMemoryExporter(), 10, "1", "a")
	n := 0
	for range 100 {
		if s := tracer.Sampled(Message); s != nil {
			n++
			s.End()
		}
	}
	if n != 10 {
		t.Errorf("%d of 100 followed, want 10", n)
	}
	for _, parent := range []string{"", "nonsense", "00-00000000000000000000000000000000-0000000000000000-01"} {
		if tracer.Remote(parent, Owner) != nil {
			t.Errorf("%q is a parent", parent)
		}
	}
}

// Off, nothing is recorded, and nothing costs an allocation.
func TestOff(t *testing.T) {
	var tracer *Tracer
	if n := testing.AllocsPerRun(100, func() { follow(t.Context(), tracer) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
	if err := tracer.Close(t.Context()); err != nil || tracer.Remote("x", Owner) != nil {
		t.Error(err)
	}
}

// follow is what a message does with a tracer.
func follow(ctx context.Context, tracer *Tracer) {
	s := tracer.Sampled(Message)
	child := From(With(ctx, s)).Child(Owner)
	child.Text("document", "notes").Int("batch", 1).Fail(nil).End()
	_ = s.Parent()
	s.End()
}

func BenchmarkOff(b *testing.B) {
	b.ReportAllocs()
	for range b.N {
		follow(b.Context(), nil)
	}
}
