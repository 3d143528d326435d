package main

import (
	"context"
	"fmt"
	"net/url"
	"time"

	"go.opentelemetry.io/otel"
	"go.uber.org/zap"

	"ysync/internal/tracing"
)

// tracesWithin bounds the sending of what is left at the end.
const tracesWithin = 2 * time.Second

// traceFlags say what is followed.
type traceFlags struct {
	Traces     string `help:"Collector of traces that speaks OTLP over HTTP, as http://127.0.0.1:4318; none are made without it." placeholder:"URL"`
	TraceEvery int    `help:"One in so many messages is followed." default:"1000"`
}

func (t *traceFlags) check() error {
	if t.TraceEvery <= 0 {
		return fmt.Errorf("--trace-every: %d: want more than 0", t.TraceEvery)
	}
	if t.Traces == "" {
		return nil
	}
	if u, err := url.Parse(t.Traces); err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil {
		return fmt.Errorf("--traces: want a URL such as http://127.0.0.1:4318, without a password (OTEL_EXPORTER_OTLP_HEADERS may have one)")
	}
	return nil
}

// tracer returns the tracer, nil for none, and what ends it.
func (t *traceFlags) tracer(ctx context.Context, node string, logger *zap.Logger) (*tracing.Tracer, func(), error) {
	if t.Traces == "" {
		return nil, func() {}, nil
	}
	exporter, err := tracing.Exporter(ctx, t.Traces)
	if err != nil {
		return nil, nil, &exitError{exitUsage, err}
	}
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) {
		logger.Warn("traces were not sent", zap.Error(err))
	}))
	tracer := tracing.New(exporter, t.TraceEvery, thisBuild().Version, node)
	return tracer, func() {
		ctx, cancel := context.WithTimeout(context.Background(), tracesWithin)
		defer cancel()
		if err := tracer.Close(ctx); err != nil {
			logger.Warn("the last traces were not sent", zap.Error(err))
		}
	}, nil
}
