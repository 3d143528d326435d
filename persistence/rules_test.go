package persistence

import (
	"errors"
	"strings"
	"testing"
	"time"
)

func TestValidName(t *testing.T) {
	for name, want := range map[string]bool{
		"":                                 false,
		"a":                                true,
		"a/b":                              true,
		"\x00":                             true,
		"\xff":                             false,
		strings.Repeat("x", 256):           true,
		strings.Repeat("x", 257):           false,
		strings.Repeat("é", 128):           true,
		strings.Repeat("é", 127) + "x\xc3": false,
	} {
		if got := ValidName(name); got != want {
			t.Errorf("ValidName(%q) = %v", name, got)
		}
	}
}

func TestEntryTimeNeverDecreases(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 678_999_999, time.FixedZone("x", 3600))
	first := EntryTime(time.Time{}, at)
	if want := time.Date(2026, 1, 2, 2, 4, 5, 678_000_000, time.UTC); !first.Equal(want) || first.Location() != time.UTC {
		t.Fatalf("got %v, want %v", first, want)
	}
	if got := EntryTime(first, at.Add(-time.Hour)); got != first {
		t.Errorf("an earlier time gave %v, want %v", got, first)
	}
	if got := EntryTime(first, at.Add(time.Hour)); !got.Equal(first.Add(time.Hour)) {
		t.Errorf("a later time gave %v", got)
	}
}

// An erased document stays erased whatever the claim, and its error wins over
// fencing: a caller must not take it for a lost race and retry.
func TestErasedWinsOverFenced(t *testing.T) {
	r := Record{Document: "a", Generation: 1, Epoch: 3, Owner: "n", Head: 9}.ErasedAt(time.Unix(1, 0))
	if r.Trimmed != 9 || r.Head != 9 || r.Epoch != 3 || r.Owner != "" {
		t.Errorf("record after erasing: %+v", r)
	}
	if again := r.ErasedAt(time.Unix(2, 0)); again != r {
		t.Errorf("erasing twice changed the record: %+v", again)
	}
	_, claim := r.Claimed("m", 2)
	_, appended := r.Appended(&Batch{Document: "a", Generation: 1, Epoch: 2, Entries: make([]NewEntry, 1)})
	_, trim := r.TrimmedTo(2, 1)
	for _, err := range []error{claim, appended, trim} {
		if !errors.Is(err, ErrErased) {
			t.Errorf("got %v, want ErrErased", err)
		}
	}
}

func TestErrorNamesDocumentAndPosition(t *testing.T) {
	for want, err := range map[string]*Error{
		"log: open: the log is closed":                              {Op: "open", Err: ErrClosed},
		`log: claim "a\nb": fenced: the document has a newer claim`: {Op: "claim", Document: "a\nb", Err: ErrFenced},
		`log: read "a" at position 7: the log is corrupt`:           {Op: "read", Document: "a", Position: 7, Err: ErrCorrupt},
	} {
		if err.Error() != want {
			t.Errorf("got %q, want %q", err.Error(), want)
		}
		if !errors.Is(err, err.Err) {
			t.Errorf("%v hides its cause", err)
		}
	}
}
