package session

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
	"unicode"
	"unicode/utf8"
)

// MaxNameBytes bounds a document's name, in bytes of UTF-8.
const MaxNameBytes = 256

// ErrName is the class of every refusal of a document's name.
var ErrName = errors.New("document name")

// ParseName reads a document's name from the path of a request as it stands
// on the wire, percent-encoding included. The name is what follows the first
// '/', decoded once and never cleaned: "a//b", "a/./b" and "a/" are three
// names. One leading "sync/" is not part of it, so that clients which were
// written for a server under /sync work.
func ParseName(escapedPath string) (string, error) {
	rest, ok := strings.CutPrefix(escapedPath, "/")
	if !ok {
		return "", fmt.Errorf("%w: the path must begin with \"/\"", ErrName)
	}
	name, err := url.PathUnescape(rest)
	if err != nil {
		return "", fmt.Errorf("%w: bad percent-encoding", ErrName)
	}
	name = strings.TrimPrefix(name, "sync/")
	return name, CheckName(name)
}

// CheckName refuses a document's name that is empty, longer than
// MaxNameBytes, not UTF-8, or holds a control character or a segment "..".
func CheckName(name string) error {
	switch {
	case name == "":
		return fmt.Errorf("%w: empty", ErrName)
	case len(name) > MaxNameBytes:
		return fmt.Errorf("%w: %d bytes, at most %d are allowed", ErrName, len(name), MaxNameBytes)
	case !utf8.ValidString(name):
		return fmt.Errorf("%w: not valid UTF-8", ErrName)
	case strings.ContainsFunc(name, unicode.IsControl):
		return fmt.Errorf("%w: holds a control character", ErrName)
	}
	for segment := range strings.SplitSeq(name, "/") {
		if segment == ".." {
			return fmt.Errorf("%w: holds a segment \"..\"", ErrName)
		}
	}
	return nil
}
