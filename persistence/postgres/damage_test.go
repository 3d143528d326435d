package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"ysync/internal/testpg"
	"ysync/persistence"
)

// Each change to a stored row behind the log's back is found, by position.
func TestDamageIsFound(t *testing.T) {
	url := shared(t).Database(t)
	l := mustOpen(t, patient(url))
	at := "WHERE position = 2 AND id = (SELECT id FROM ysync.documents WHERE document = 'a')"
	for name, statement := range map[string]string{
		"data":    "UPDATE ysync.update_log SET data = data || '\\x00' " + at,
		"author":  "UPDATE ysync.update_log SET author = 'eve' " + at,
		"time":    "UPDATE ysync.update_log SET time_ms = time_ms + 1 " + at,
		"epoch":   "UPDATE ysync.update_log SET epoch = epoch - 1 " + at,
		"crc":     "UPDATE ysync.update_log SET crc = ~crc " + at,
		"missing": "DELETE FROM ysync.update_log " + at,
		"another document": "UPDATE ysync.update_log SET data = (SELECT data FROM ysync.update_log JOIN ysync.documents USING (id) WHERE document = 'b' AND position = 2)," +
			" crc = (SELECT crc FROM ysync.update_log JOIN ysync.documents USING (id) WHERE document = 'b' AND position = 2) " + at,
	} {
		t.Run(name, func(t *testing.T) {
			testpg.Exec(t, url, "TRUNCATE ysync.documents, ysync.update_log")
			for _, document := range []string{"a", "b"} {
				if res := put(l, mustClaim(t, l, document), document+"1", document+"2", document+"3"); res.Err != nil {
					t.Fatal(res.Err)
				}
			}
			testpg.Exec(t, url, statement)
			var last error
			read := 0
			for _, err := range l.Read(t.Context(), "a", 0) {
				if last = err; err == nil {
					read++
				}
			}
			var e *persistence.Error
			if !errors.Is(last, persistence.ErrCorrupt) || !errors.As(last, &e) || e.Position != 2 || read != 1 {
				t.Errorf("after %d entries: %v", read, last)
			}
		})
	}
}

// Entries past the head belong to nobody: appending must not pass over them,
// and must not keep other documents from committing.
func TestEntriesPastTheHead(t *testing.T) {
	url := shared(t).Database(t)
	o := patient(url)
	o.Writers = 1
	l := mustOpen(t, o)
	var batches []persistence.Batch
	for i := range 5 {
		batches = append(batches, batch(mustClaim(t, l, fmt.Sprint("doc", i)), "x"))
	}
	testpg.Exec(t, url, `INSERT INTO ysync.update_log (id, generation, position, epoch, time_ms, crc, author, data)
		SELECT id, 1, 1, 1, 0, 0, '', '' FROM ysync.documents WHERE document = 'doc3'`)
	for i, res := range l.Append(t.Context(), batches) {
		if i == 3 {
			if !errors.Is(res.Err, persistence.ErrCorrupt) {
				t.Errorf("document %d: %+v", i, res)
			}
		} else if res != (persistence.Result{First: 1, Last: 1}) {
			t.Errorf("document %d: %+v", i, res)
		}
	}
}

// Reading crosses pages by count and by size.
func TestReadPages(t *testing.T) {
	url := shared(t).Database(t)
	l := mustOpen(t, patient(url))
	r := mustClaim(t, l, "a")
	var want []string
	add := func(n, size int) {
		t.Helper()
		var texts []string
		for range n {
			texts = append(texts, fmt.Sprint(len(want)+len(texts), strings.Repeat("x", size)))
		}
		if res := put(l, r, texts...); res.Err != nil {
			t.Fatal(res.Err)
		}
		want = append(want, texts...)
	}
	add(4500, 3)
	add(9, 1<<20)
	add(3, 5<<20)
	add(1, 0)
	got := updates(t, l, "a")
	if len(got) != len(want) {
		t.Fatalf("%d entries, want %d", len(got), len(want))
	}
	for i := range got {
		if got[i] != want[i] {
			t.Fatalf("entry %d is %.40q, want %.40q", i+1, got[i], want[i])
		}
	}
}

// A trim larger than one statement removes everything, also what an earlier
// one left behind.
func TestTrimInParts(t *testing.T) {
	url := shared(t).Database(t)
	l := mustOpen(t, patient(url))
	r := mustClaim(t, l, "a")
	const n = 12_000
	for range n / 4000 {
		if res := put(l, r, make([]string, 4000)...); res.Err != nil {
			t.Fatal(res.Err)
		}
	}
	ctx := context.Background()
	for _, at := range []persistence.Position{n - 1, n} {
		if err := l.SetSnapshot(ctx, "a", r.Epoch, persistence.Pointer{Position: at, Key: fmt.Sprint(at)}); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.SetSegmented(ctx, "a", r.Epoch, n); err != nil {
		t.Fatal(err)
	}
	// As if a process had died between the record and the entries.
	testpg.Exec(t, url, "UPDATE ysync.documents SET trimmed = 6000 WHERE document = 'a'")
	if err := l.Trim(ctx, "a", r.Epoch, n-1); err != nil {
		t.Fatal(err)
	}
	awaitTrue(t, connect(t, url), "SELECT count(*) = 1 FROM ysync.update_log")
	if err := l.Erase(ctx, "a", noon); err != nil {
		t.Fatal(err)
	}
	awaitTrue(t, connect(t, url), "SELECT count(*) = 0 FROM ysync.update_log")
}

// A database that comes back with fewer entries than it had committed (a
// standby that was behind, a restored backup) fences the writer, who loads the
// document again; nothing is appended at a place that is not what he thinks.
func TestLostEntriesFence(t *testing.T) {
	url := shared(t).Database(t)
	l := mustOpen(t, patient(url))
	r := mustClaim(t, l, "a")
	if res := put(l, r, "1", "2", "3"); res.Err != nil {
		t.Fatal(res.Err)
	}
	testpg.Exec(t, url, "DELETE FROM ysync.update_log WHERE position = 3", "UPDATE ysync.documents SET head = 2")
	if res := put(l, r, "4"); !errors.Is(res.Err, persistence.ErrFenced) {
		t.Errorf("append: %+v", res)
	}
	// The claim may have been lost as well: the same epoch is given out again.
	testpg.Exec(t, url, "UPDATE ysync.documents SET epoch = epoch - 1")
	if res := put(l, mustClaim(t, l, "a"), "4"); res != (persistence.Result{First: 3, Last: 3}) {
		t.Errorf("append after loading again: %+v", res)
	}
}
