package persistencetest

import (
	"fmt"
	"sync"

	"ysync/persistence"
)

var lockChecks = []check{
	{"SecondOpenIsLocked", func(s *store) {
		s.log()
		if _, err := s.reopen(); err == nil {
			s.Fatal("the store was opened twice")
		} else {
			s.want(err, persistence.ErrLocked, "second open")
		}
		s.claim("a", "n1")
		s.put("a", "1")
		s.restart()
		s.wantUpdates("a", 0, "1")
	}},
}

var lifeChecks = []check{
	{"ClosedLogRefusesEverything", func(s *store) {
		log := s.log()
		r := s.claim("a", "n1")
		s.put("a", "1")
		s.ok(log.Close(), "close")
		s.want(log.Close(), persistence.ErrClosed, "second close")
		_, err := log.Open(ctx, "a")
		s.wantError(err, persistence.ErrClosed, "a")
		_, err = log.Claim(ctx, "a", "n1", 1)
		s.wantError(err, persistence.ErrClosed, "a")
		s.wantError(log.Append(ctx, []persistence.Batch{batch(r, "x")})[0].Err, persistence.ErrClosed, "a")
		_, err = s.read("a", 0)
		s.wantError(err, persistence.ErrClosed, "a")
		s.wantError(log.SetSnapshot(ctx, "a", 1, pointer(1)), persistence.ErrClosed, "a")
		s.wantError(log.SetSegmented(ctx, "a", 1, 1), persistence.ErrClosed, "a")
		s.wantError(log.SetSeed(ctx, "a", 1, "k"), persistence.ErrClosed, "a")
		s.wantError(log.Trim(ctx, "a", 1, 0), persistence.ErrClosed, "a")
		s.wantError(log.Erase(ctx, "a", noon), persistence.ErrClosed, "a")
		n := 0
		for _, err := range log.List(ctx, "") {
			n++
			s.want(err, persistence.ErrClosed, "list")
		}
		if n != 1 {
			s.Errorf("a closed list yielded %d times, want once", n)
		}
		s.open = nil
		s.wantUpdates("a", 0, "1")
	}},
	{"CloseEndsSequencesUnderWay", func(s *store) {
		log := s.log()
		s.claim("a", "n1")
		s.claim("b", "n1")
		s.put("a", "1", "2", "3")
		closed := make(chan error, 1)
		var last error
		started := make(chan struct{})
		go func() {
			<-started
			closed <- log.Close()
		}()
		// The sequence has more elements than Close can outrun: it is run again
		// until one run meets the closed log.
		var once sync.Once
		for last == nil {
			for _, err := range log.Read(ctx, "a", 0) {
				once.Do(func() { close(started) })
				last = err
			}
		}
		s.wantError(last, persistence.ErrClosed, "a")
		s.ok(<-closed, "close")
		s.open = nil
		s.wantUpdates("a", 0, "1", "2", "3")
	}},
	{"CloseDuringAppendsLosesNothing", func(s *store) {
		const writers = 8
		log := s.log()
		acknowledged := make([]persistence.Position, writers)
		var wg, running sync.WaitGroup
		running.Add(writers)
		for i := range writers {
			r := s.claim(fmt.Sprint("doc", i), "n1")
			wg.Go(func() {
				for first := true; ; first = false {
					res := log.Append(ctx, []persistence.Batch{batch(r, "x")})[0]
					if first {
						running.Done()
					}
					if res.Err != nil {
						s.want(res.Err, persistence.ErrClosed, "append to a closing log")
						return
					}
					acknowledged[i] = res.Last
				}
			})
		}
		running.Wait()
		s.ok(log.Close(), "close")
		wg.Wait()
		s.open = nil
		for i, last := range acknowledged {
			if r := s.record(fmt.Sprint("doc", i)); last == 0 || r.Head != last {
				s.Errorf("document %d: head %d, acknowledged %d", i, r.Head, last)
			}
		}
	}},
}

var concurrencyChecks = []check{
	{"ConcurrentAppendsStayDense", func(s *store) {
		// Every writer appends to every document under the same claim, alone
		// and in one commit with others; each position is given out once.
		const writers, documents, rounds = 8, 5, 30
		log := s.log()
		var recs []persistence.Record
		for d := range documents {
			recs = append(recs, s.claim(fmt.Sprint("doc", d), "n1"))
		}
		owners := make([]sync.Map, documents)
		var wg sync.WaitGroup
		for w := range writers {
			wg.Go(func() {
				for round := range rounds {
					var batches []persistence.Batch
					for d := range documents {
						if (round+w+d)%3 != 0 {
							batches = append(batches, batch(recs[(d+w)%documents], fmt.Sprint(w, "/", round, "/0"), fmt.Sprint(w, "/", round, "/1")))
						}
					}
					for i, res := range log.Append(ctx, batches) {
						var d int
						_, _ = fmt.Sscanf(batches[i].Document, "doc%d", &d)
						if res.Err != nil || res.Last != res.First+1 {
							s.Errorf("append to %s: %+v", batches[i].Document, res)
							return
						}
						for at := res.First; at <= res.Last; at++ {
							if _, taken := owners[d].LoadOrStore(at, fmt.Sprint(w, "/", round, "/", at-res.First)); taken {
								s.Errorf("document %d: position %d was given out twice", d, at)
							}
						}
					}
				}
			})
			wg.Go(func() {
				for range rounds {
					name := fmt.Sprint("doc", w%documents)
					head, err := log.Open(ctx, name)
					if err != nil {
						s.Errorf("open: %v", err)
						return
					}
					var at persistence.Position
					for e, err := range log.Read(ctx, name, 0) {
						if err != nil || e.Position != at+1 {
							s.Errorf("read after %d: %+v, %v", at, e, err)
							return
						}
						at = e.Position
					}
					if at < head.Head {
						s.Errorf("read up to %d after opening at head %d", at, head.Head)
					}
				}
			})
		}
		wg.Wait()
		s.restart()
		for d := range documents {
			entries, err := s.read(fmt.Sprint("doc", d), 0)
			s.ok(err, "read")
			for i, e := range entries {
				if want, _ := owners[d].Load(e.Position); want != string(e.Update) || e.Position != persistence.Position(i+1) {
					s.Fatalf("document %d: entry %d is %+v, want %v", d, i, e, want)
				}
			}
		}
	}},
	{"ManyDocumentsFromManyGoroutines", func(s *store) {
		const writers, documents = 16, 12
		log := s.log()
		var wg sync.WaitGroup
		for w := range writers {
			wg.Go(func() {
				for d := range documents {
					name := fmt.Sprint(w, "/", d)
					r, err := log.Claim(ctx, name, "n1", 0)
					if err != nil {
						s.Errorf("claim: %v", err)
						return
					}
					for i := range 5 {
						if res := log.Append(ctx, []persistence.Batch{batch(r, fmt.Sprint(i))})[0]; res.Err != nil || res.First != persistence.Position(i+1) {
							s.Errorf("append: %+v", res)
						}
					}
					if d%2 == 0 {
						if err := log.Erase(ctx, name, noon); err != nil {
							s.Errorf("erase: %v", err)
						}
					}
				}
			})
			wg.Go(func() {
				last := ""
				for r, err := range log.List(ctx, "") {
					if err != nil || r.Document <= last {
						s.Errorf("list after %q: %q, %v", last, r.Document, err)
						return
					}
					last = r.Document
				}
			})
		}
		wg.Wait()
		s.restart()
		n := 0
		for r, err := range s.log().List(ctx, "") {
			s.ok(err, "list")
			if n++; r.Head != 5 {
				s.Errorf("record: %+v", r)
			}
		}
		if n != writers*documents {
			s.Errorf("%d documents, want %d", n, writers*documents)
		}
	}},
}
