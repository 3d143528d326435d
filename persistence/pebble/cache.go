package pebble

import (
	"container/list"
	"sync"

	"ysync/persistence"
)

// commit is one write on its way to the disk.
type commit struct {
	done chan struct{} // closed when the outcome is known
	err  error         // set before done is closed
}

// landed is the outcome of nothing: a commit that is over.
var landed = func() *commit {
	c := &commit{done: make(chan struct{})}
	close(c.done)
	return c
}()

// document is what memory holds of one document: a copy of its record, ahead
// of the disk by the commits under way.
type document struct {
	name string

	// Guarded by cache.mu.
	users int           // calls that hold the document; in the idle list only at 0
	idle  *list.Element // place in the idle list, nil while in use

	// mu orders the changes of the document. It is held from the check of a
	// rule to the write that follows from it, not during the fsync.
	mu     sync.Mutex
	loaded bool
	record persistence.Record
	last   *commit // the newest commit of the document; all before it are older in the write-ahead log too
}

// cache holds the documents in use, and a bounded number of idle ones.
type cache struct {
	limit int

	mu        sync.Mutex
	documents map[string]*document
	idle      *list.List // of *document; the longest idle in front
}

func newCache(limit int) *cache {
	return &cache{limit: limit, documents: make(map[string]*document), idle: list.New()}
}

// acquire returns the document for use; release must follow.
func (c *cache) acquire(name string) *document {
	c.mu.Lock()
	defer c.mu.Unlock()
	d := c.documents[name]
	if d == nil {
		d = &document{name: name, last: landed}
		c.documents[name] = d
	}
	if d.idle != nil {
		c.idle.Remove(d.idle)
		d.idle = nil
	}
	d.users++
	return d
}

// release ends one use. Whoever has a commit under way keeps the document in
// use until it landed.
func (c *cache) release(d *document) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if d.users--; d.users > 0 {
		return
	}
	d.idle = c.idle.PushBack(d)
	for c.idle.Len() > c.limit {
		oldest := c.idle.Remove(c.idle.Front()).(*document)
		delete(c.documents, oldest.name)
	}
}

// pending returns the newest commit of a document under way, if any, without
// taking room in the cache.
func (c *cache) pending(name string) *commit {
	c.mu.Lock()
	d := c.documents[name]
	c.mu.Unlock()
	if d == nil {
		return landed
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.last
}

// len returns how many documents are in memory.
func (c *cache) len() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.documents)
}
