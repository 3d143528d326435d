package crdt

// Subdoc is a reference from a document to another one (Yjs: ContentDoc).
type Subdoc struct{}
