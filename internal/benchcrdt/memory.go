package main

import (
	"runtime"

	"ysync/crdt"
)

// held is what n open documents take: bytes and objects of the heap, each.
func held(d *data, file string, n int) (perDoc, objects sample) {
	update := d.file(file)
	open := func() *crdt.Doc {
		doc := server()
		apply(doc, crdt.V1, update)
		return doc
	}
	open()
	docs := make([]*crdt.Doc, n)
	before := heap()
	for i := range docs {
		docs[i] = open()
	}
	after := heap()
	var s sample
	state(&s, docs[0])
	figure := func(before, after uint64) sample {
		v := float64(after-before) / float64(n)
		return sample{Median: v, Min: v, Samples: 1, State: s.State}
	}
	perDoc, objects = figure(before.HeapAlloc, after.HeapAlloc), figure(before.HeapObjects, after.HeapObjects)
	runtime.KeepAlive(docs)
	return perDoc, objects
}

// heap collects garbage twice, so that what pools keep is gone as well.
func heap() runtime.MemStats {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m
}
