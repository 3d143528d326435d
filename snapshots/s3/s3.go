// Package s3 keeps snapshot files in a bucket of an S3-compatible store.
//
// An object is written once, with If-None-Match, so that of two writers one
// wins and the other is told; above PartBytes it goes up in parts and appears
// when the last of them is in. Whether a Put that failed half-way took effect
// is found out by asking the store, never by guessing.
//
// Transient answers (500, 503, time-outs, connections cut) are tried again
// with a growing, jittered wait; a body that ends early is read again.
package s3

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	sdk "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go/logging"

	"ysync/snapshots"
)

const (
	// DefaultPartBytes is above what size an object goes up in parts, and the
	// size of a part.
	DefaultPartBytes = 16 << 20
	// attempts bounds how often one request is tried, maxBackoff how long it
	// waits between two tries.
	attempts   = 5
	maxBackoff = 5 * time.Second
	// answerWithin is how long the store may take to begin its answer.
	answerWithin = 30 * time.Second
)

// Encryption is what the store is asked to encrypt objects with at rest.
type Encryption string

// The kinds of encryption that the store does.
const (
	// BucketDefault leaves it to the settings of the bucket.
	BucketDefault Encryption = ""
	// SSES3 is encryption with keys of the store.
	SSES3 Encryption = "sse-s3"
	// SSEKMS is encryption with a key of its key management service.
	SSEKMS Encryption = "sse-kms"
)

// Checksums says when requests carry a checksum of their body.
type Checksums string

const (
	// ChecksumAlways is right for AWS and most others.
	ChecksumAlways Checksums = "always"
	// ChecksumRequired is for stores that refuse checksums they do not know.
	ChecksumRequired Checksums = "required"
)

// Addressing says where the bucket stands in the URL.
type Addressing string

const (
	// VirtualHost puts the bucket's name in front of the host's.
	VirtualHost Addressing = "host"
	// Path puts it first in the path, as most stores outside AWS want it.
	Path Addressing = "path"
)

// Options say where the bucket is. Credentials come from where the AWS tools
// take them: the environment, ~/.aws, or the machine's role.
type Options struct {
	Bucket string
	// Prefix is put before every key; it ends with "/" or is empty.
	Prefix string
	// Endpoint is the store's URL; empty for AWS.
	Endpoint string
	// Region is empty for that of the environment, or us-east-1.
	Region string
	// Addressing is empty for VirtualHost on AWS and Path elsewhere.
	Addressing Addressing
	Encryption Encryption
	// KMSKey is the key's ID or ARN with SSEKMS; empty for the account's default.
	KMSKey string
	// Checksums is empty for ChecksumAlways.
	Checksums Checksums
	// PartBytes is 0 for DefaultPartBytes; at least 5 MiB.
	PartBytes int64
	// Transport makes the connections; nil for the default one.
	Transport *http.Transport
}

// Parse reads a location of the form
//
//	s3://bucket/prefix?endpoint=…&region=…&addressing=path&encryption=sse-kms&kms-key=…&checksums=required
//
// in which everything after the bucket may be missing.
func Parse(location string) (Options, error) {
	u, err := url.Parse(location)
	if err != nil {
		return Options{}, errors.New("bucket location: malformed")
	}
	if u.Scheme != "s3" || u.Host == "" || u.User != nil || u.Port() != "" || u.Fragment != "" {
		// It is not quoted: there may be credentials in it.
		return Options{}, errors.New("bucket location: want s3://bucket/prefix, without a user or a port")
	}
	o := Options{Bucket: u.Host, Prefix: strings.Trim(u.Path, "/")}
	if o.Prefix != "" {
		o.Prefix += "/"
	}
	q, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return Options{}, errors.New("bucket location: the settings after the ? are malformed")
	}
	for name, values := range q {
		v := values[len(values)-1]
		switch name {
		case "endpoint":
			o.Endpoint = v
		case "region":
			o.Region = v
		case "addressing":
			o.Addressing = Addressing(v)
		case "encryption":
			o.Encryption = Encryption(v)
		case "kms-key":
			o.KMSKey = v
		case "checksums":
			o.Checksums = Checksums(v)
		default:
			return Options{}, fmt.Errorf("bucket location: unknown setting %q", name)
		}
	}
	return o, o.check()
}

func (o Options) check() error {
	switch {
	case o.Bucket == "":
		return errors.New("no bucket is named")
	case o.Prefix != "" && !strings.HasSuffix(o.Prefix, "/"):
		return fmt.Errorf("prefix %q: want a \"/\" at its end", o.Prefix)
	case o.PartBytes != 0 && o.PartBytes < 5<<20:
		return fmt.Errorf("parts of %d bytes: want at least 5 MiB", o.PartBytes)
	case o.KMSKey != "" && o.Encryption != SSEKMS:
		return errors.New("a KMS key is named, but the encryption is not sse-kms")
	}
	switch o.Encryption {
	case BucketDefault, SSES3, SSEKMS:
	default:
		return fmt.Errorf("encryption %q: want sse-s3 or sse-kms", o.Encryption)
	}
	switch o.Checksums {
	case "", ChecksumAlways, ChecksumRequired:
	default:
		return fmt.Errorf("checksums %q: want always or required", o.Checksums)
	}
	switch o.Addressing {
	case "", VirtualHost, Path:
	default:
		return fmt.Errorf("addressing %q: want host or path", o.Addressing)
	}
	if o.Endpoint != "" {
		u, err := url.Parse(o.Endpoint)
		if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || u.User != nil {
			return errors.New("endpoint: want a URL with http or https, and credentials in the environment")
		}
	}
	return nil
}

// Store is a bucket, or the part of it below a prefix. Its methods may be
// called from any goroutine.
type Store struct {
	opts   Options
	client *sdk.Client
}

var _ snapshots.Store = (*Store)(nil)

// ErrRefused: the store answered, and does not let us use the bucket: there is
// none of that name, or the credentials are wrong. Trying again does not help.
var ErrRefused = errors.New("the store refuses the bucket")

// Open returns a store for a bucket; it does not talk to it.
func Open(ctx context.Context, o Options) (*Store, error) {
	if err := o.check(); err != nil {
		return nil, fmt.Errorf("s3: %w", err)
	}
	if o.PartBytes == 0 {
		o.PartBytes = DefaultPartBytes
	}
	client, err := newClient(ctx, o)
	if err != nil {
		return nil, fmt.Errorf("s3: %w", err)
	}
	return &Store{opts: o, client: client}, nil
}

// Reach tells whether the bucket is there and may be used. The error is
// ErrRefused, or whatever kept the store from answering.
func (s *Store) Reach(ctx context.Context) error {
	_, err := s.client.HeadBucket(ctx, &sdk.HeadBucketInput{Bucket: &s.opts.Bucket})
	if code := status(err); code/100 == 3 || code/100 == 4 && code != http.StatusTooManyRequests {
		return fmt.Errorf("s3: bucket %q: %w (status %d)", s.opts.Bucket, ErrRefused, code)
	}
	if err != nil {
		return fmt.Errorf("s3: bucket %q: %w", s.opts.Bucket, err)
	}
	return nil
}

// Location names the bucket as an operator would, without anything secret.
func (s *Store) Location() string { return "s3://" + s.opts.Bucket + "/" + s.opts.Prefix }

func (o Options) calculation() aws.RequestChecksumCalculation {
	if o.Checksums == ChecksumRequired {
		return aws.RequestChecksumCalculationWhenRequired
	}
	return aws.RequestChecksumCalculationWhenSupported
}

// idleConnections is how many connections wait for more to do. It is more than
// any work here asks for at a time, so that none is made for one request alone.
const idleConnections = 64

func newClient(ctx context.Context, o Options) (*sdk.Client, error) {
	transport := awshttp.NewBuildableClient().WithTransportOptions(func(t *http.Transport) {
		t.ResponseHeaderTimeout = answerWithin
		t.MaxIdleConnsPerHost = idleConnections
	})
	load := []func(*config.LoadOptions) error{
		config.WithHTTPClient(transport),
		config.WithLogger(logging.Nop{}),
		config.WithRetryer(func() aws.Retryer {
			return retry.NewStandard(func(r *retry.StandardOptions) {
				r.MaxAttempts, r.MaxBackoff = attempts, maxBackoff
				r.Retryables = append(r.Retryables, retry.RetryableHTTPStatusCode{
					Codes: map[int]struct{}{http.StatusTooManyRequests: {}},
				})
			})
		}),
	}
	if o.Transport != nil {
		load[0] = config.WithHTTPClient(&http.Client{Transport: o.Transport})
	}
	if o.Region != "" {
		load = append(load, config.WithRegion(o.Region))
	}
	c, err := config.LoadDefaultConfig(ctx, load...)
	if err != nil {
		return nil, err
	}
	if c.Region == "" {
		c.Region = "us-east-1"
	}
	return sdk.NewFromConfig(c, func(s *sdk.Options) {
		if o.Endpoint != "" {
			s.BaseEndpoint = &o.Endpoint
		}
		s.UsePathStyle = o.Addressing == Path || o.Addressing == "" && o.Endpoint != ""
		s.RequestChecksumCalculation = o.calculation()
		if o.Checksums == ChecksumRequired {
			s.ResponseChecksumValidation = aws.ResponseChecksumValidationWhenRequired
		}
	}), nil
}

// name is the object's name in the bucket.
func (s *Store) name(key string) *string { return aws.String(s.opts.Prefix + key) }
