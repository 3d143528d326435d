package relay

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"time"
)

// Versions of the protocol of this package that it speaks.
const (
	LeastVersion  = 1
	NewestVersion = 1
)

var (
	// ErrSecret: the other node does not have the secret.
	ErrSecret = errors.New("relay: the secret is another one")
	// ErrVersion: the two nodes have no version in common.
	ErrVersion = errors.New("relay: no common version")

	errOther = errors.New("relay: another node is at this address")
	errHello = errors.New("relay: not a hello")
)

// The hellos, each a packet with one frame on channel 0:
//
//	hello    list: least, newest version; text: boot ID; body: 32 random bytes
//	welcome  a: the version; text: boot ID; body: 32 random bytes, proof
//	proof    body: proof
//
// A proof is the HMAC-SHA256, by the secret, of who proves it, for what purpose,
// and all that was said before, so that it can't be used again, for something
// else or by somebody in between.

const nonceBytes = 32

// greet says hello on a stream of a name that this node made.
func (r *Relay) greet(s Stream, name, boot string) error {
	hello := frame{kind: frameHello, list: []uint64{LeastVersion, NewestVersion}, text: r.self, body: nonce()}
	if err := sendHello(s, &hello); err != nil {
		return err
	}
	welcome, err := receiveHello(s, frameWelcome)
	if err != nil {
		return err
	}
	if len(welcome.body) != nonceBytes+sha256.Size {
		return errHello
	}
	theirs, proof := welcome.body[:nonceBytes], welcome.body[nonceBytes:]
	if !hmac.Equal(proof, r.proof(purpose(name, "welcome"), welcome.a, r.self, welcome.text, hello.body, theirs)) {
		return ErrSecret
	}
	if welcome.text != boot {
		return errOther
	}
	if welcome.a < LeastVersion || welcome.a > NewestVersion {
		return noVersion(welcome.a, welcome.a)
	}
	mine := r.proof(purpose(name, "proof"), welcome.a, r.self, welcome.text, hello.body, theirs)
	return sendHello(s, &frame{kind: frameProof, body: mine})
}

// welcome answers a stream that another node made, and returns its boot ID.
func (r *Relay) welcome(s Stream, name string) (string, error) {
	type result struct {
		boot string
		err  error
	}
	// A peer that says nothing is cut off by the end of the stream.
	done := make(chan result, 1)
	go func() {
		boot, err := r.answer(s, name)
		done <- result{boot, err}
	}()
	late := time.NewTimer(helloWait)
	defer late.Stop()
	select {
	case got := <-done:
		return got.boot, got.err
	case <-late.C:
		return "", fmt.Errorf("%w: nothing for %v", errHello, helloWait)
	}
}

func (r *Relay) answer(s Stream, name string) (string, error) {
	hello, err := receiveHello(s, frameHello)
	if err != nil {
		return "", err
	}
	if len(hello.list) != 2 || len(hello.body) != nonceBytes || hello.text == "" || hello.text == r.self {
		return "", errHello
	}
	version := min(hello.list[1], NewestVersion)
	if version < max(hello.list[0], LeastVersion) {
		return "", noVersion(hello.list[0], hello.list[1])
	}
	mine := nonce()
	proof := r.proof(purpose(name, "welcome"), version, hello.text, r.self, hello.body, mine)
	welcome := frame{kind: frameWelcome, a: version, text: r.self, body: append(mine[:nonceBytes:nonceBytes], proof...)}
	if err := sendHello(s, &welcome); err != nil {
		return "", err
	}
	shown, err := receiveHello(s, frameProof)
	if err != nil {
		return "", err
	}
	if !hmac.Equal(shown.body, r.proof(purpose(name, "proof"), version, hello.text, r.self, hello.body, mine)) {
		return "", ErrSecret
	}
	return hello.text, nil
}

// noVersion names the versions of another node, none of which is ours.
func noVersion(least, newest uint64) error {
	return fmt.Errorf("%w: the other node speaks %d to %d, this one %d to %d", ErrVersion, least, newest, LeastVersion, NewestVersion)
}

// proof shows that this node has the secret. Texts that come from outside are
// of bounded length and are told apart by their lengths.
func (r *Relay) proof(who string, version uint64, dialer, acceptor string, nonces ...[]byte) []byte {
	h := hmac.New(sha256.New, r.opt.Secret)
	_, _ = fmt.Fprintf(h, "ysync relay %s %d %d:%s %d:%s ", who, version, len(dialer), dialer, len(acceptor), acceptor)
	for _, n := range nonces {
		_, _ = h.Write(n)
	}
	return h.Sum(nil)
}

// purpose is who proves something on a stream of a name. That of a link has
// been without one from the beginning.
func purpose(name, who string) string {
	if name == streamName {
		return who
	}
	return name + " " + who
}

func nonce() []byte {
	n := make([]byte, nonceBytes)
	_, _ = rand.Read(n) // never fails
	return n
}

func sendHello(s Stream, f *frame) error {
	return s.Send(appendRecord(nil, 0, 1, append(f.appendHead(nil), f.body...)))
}

// maxHello bounds a hello.
const maxHello = 4 << 10

func receiveHello(s Stream, kind frameKind) (frame, error) {
	data, err := s.Receive()
	if err != nil {
		return frame{}, err
	}
	f, err := decodeHello(data, kind)
	if err != nil {
		return frame{}, fmt.Errorf("%w: %w", errHello, err)
	}
	return f, nil
}
