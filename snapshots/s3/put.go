package s3

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	sdk "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"ysync/snapshots"
)

// slowest is the rate in bytes a second below which an upload is given up.
const slowest = 64 << 10

// within bounds one operation that sends n bytes.
func within(ctx context.Context, n int) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, attempts*answerWithin+time.Duration(n/slowest)*time.Second)
}

// Put implements snapshots.Store.
func (s *Store) Put(ctx context.Context, key string, blob []byte) error {
	if err := snapshots.CheckKey(key); err != nil {
		return err
	}
	ctx, cancel := within(ctx, len(blob))
	defer cancel()
	err := s.upload(ctx, key, blob)
	if err == nil {
		return nil
	}
	// The object may be there: written by someone else, or by a try of this
	// one whose answer was lost.
	switch old, got := s.Get(ctx, key, int64(len(blob))); {
	case got == nil && bytes.Equal(old, blob):
		return nil
	case got == nil, errors.Is(got, snapshots.ErrTooLarge):
		return &snapshots.FileError{Key: key, Err: snapshots.ErrExists}
	default:
		return fmt.Errorf("put %s: %w", key, err)
	}
}

func (s *Store) upload(ctx context.Context, key string, blob []byte) error {
	for try := 1; ; try++ {
		var err error
		if int64(len(blob)) > s.opts.PartBytes {
			err = s.putParts(ctx, key, blob)
		} else {
			err = s.putWhole(ctx, key, blob)
		}
		// 409: another conditional write of the key is under way. Whoever ends
		// first has it; the next try tells.
		if err == nil || status(err) != http.StatusConflict || try == attempts {
			return err
		}
		if err := pause(ctx, try); err != nil {
			return err
		}
	}
}

const contentType = "application/octet-stream"

// absent is the condition that no object has the key.
const absent = "*"

func (s *Store) putWhole(ctx context.Context, key string, blob []byte) error {
	encryption, kmsKey := s.atRest()
	_, err := s.client.PutObject(ctx, &sdk.PutObjectInput{
		Bucket: &s.opts.Bucket, Key: s.name(key), Body: bytes.NewReader(blob), ContentType: aws.String(contentType),
		IfNoneMatch: aws.String(absent), ServerSideEncryption: encryption, SSEKMSKeyId: kmsKey,
	})
	return err
}

// putParts uploads a large object. Nothing is there before the last step; parts
// of an upload that failed are taken back.
func (s *Store) putParts(ctx context.Context, key string, blob []byte) (err error) {
	encryption, kmsKey := s.atRest()
	upload, err := s.client.CreateMultipartUpload(ctx, &sdk.CreateMultipartUploadInput{
		Bucket: &s.opts.Bucket, Key: s.name(key), ContentType: aws.String(contentType),
		ServerSideEncryption: encryption, SSEKMSKeyId: kmsKey, ChecksumAlgorithm: s.checksum(),
	})
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.abort(ctx, key, upload.UploadId))
		}
	}()
	var parts []types.CompletedPart
	for piece := range slices.Chunk(blob, int(s.opts.PartBytes)) {
		number := aws.Int32(int32(len(parts) + 1))
		out, err := s.client.UploadPart(ctx, &sdk.UploadPartInput{
			Bucket: &s.opts.Bucket, Key: s.name(key), UploadId: upload.UploadId, PartNumber: number, Body: bytes.NewReader(piece),
			ChecksumAlgorithm: s.checksum(),
		})
		if err != nil {
			return err
		}
		parts = append(parts, types.CompletedPart{
			PartNumber: number, ETag: out.ETag, ChecksumCRC32: out.ChecksumCRC32,
		})
	}
	_, err = s.client.CompleteMultipartUpload(ctx, &sdk.CompleteMultipartUploadInput{
		Bucket: &s.opts.Bucket, Key: s.name(key), UploadId: upload.UploadId, IfNoneMatch: aws.String(absent),
		MultipartUpload: &types.CompletedMultipartUpload{Parts: parts},
	})
	return err
}

// abort takes back what was uploaded, also when ctx is over. An upload that is
// gone was completed by a try whose answer was lost.
func (s *Store) abort(ctx context.Context, key string, upload *string) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), answerWithin)
	defer cancel()
	_, err := s.client.AbortMultipartUpload(ctx, &sdk.AbortMultipartUploadInput{
		Bucket: &s.opts.Bucket, Key: s.name(key), UploadId: upload,
	})
	if status(err) == http.StatusNotFound {
		return nil
	}
	return err
}

// checksum is what every part carries and the store compares in the end.
func (s *Store) checksum() types.ChecksumAlgorithm {
	if s.opts.Checksums == ChecksumRequired {
		return ""
	}
	return types.ChecksumAlgorithmCrc32
}

// atRest says how the store is to encrypt an object.
func (s *Store) atRest() (types.ServerSideEncryption, *string) {
	switch s.opts.Encryption {
	case SSES3:
		return types.ServerSideEncryptionAes256, nil
	case SSEKMS:
		if s.opts.KMSKey != "" {
			return types.ServerSideEncryptionAwsKms, &s.opts.KMSKey
		}
		return types.ServerSideEncryptionAwsKms, nil
	}
	return "", nil
}

// status is the HTTP status of a refusal, 0 for an error of another kind.
func status(err error) int {
	var answer *awshttp.ResponseError
	if errors.As(err, &answer) {
		return answer.HTTPStatusCode()
	}
	return 0
}
