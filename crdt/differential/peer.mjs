// A Yjs that obeys commands: one JSON object per line on standard input, one answer per line on standard output, in
// order. It holds documents by name. Values use the tags of internal/vectors/testdata/README.md.
import './clock.mjs'
import * as readline from 'node:readline'
import * as Y from 'yjs'
import { commandsOf } from './api.mjs'

// Standard output belongs to the answers; Yjs logs there.
console.log = console.error

const b64 = u => Buffer.from(u).toString('base64')
const unb64 = s => new Uint8Array(Buffer.from(s, 'base64'))

// values, from and to tagged JSON

const plain = v => {
  if (Array.isArray(v)) return v.map(plain)
  if (v === null || typeof v !== 'object') return v
  if ('$undef' in v) return undefined
  if ('$bigint' in v) return BigInt(v.$bigint)
  if ('$bin' in v) return unb64(v.$bin)
  if ('$num' in v) return v.$num === '-0' ? -0 : Number(v.$num)
  if ('$utf16' in v) return String.fromCharCode(...v.$utf16)
  if ('$doc' in v) return new Y.Doc('meta' in v.$doc ? { ...v.$doc, meta: plain(v.$doc.meta) } : v.$doc)
  if ('$y' in v) return shared(v)
  return Object.fromEntries(Object.entries(v).map(([k, e]) => [k, plain(e)]))
}

const filledText = (t, v) => {
  if (v.s !== undefined) t.insert(0, plain(v.s))
  if (v.d !== undefined) t.applyDelta(delta(v.d))
  for (const [k, e] of Object.entries(v.attrs ?? {})) t.setAttribute(k, plain(e))
  return t
}

const shared = v => {
  switch (v.$y) {
    case 'text': return filledText(new Y.Text(), v)
    case 'xmltext': return filledText(new Y.XmlText(), v)
    case 'array': return Y.Array.from((v.v ?? []).map(plain))
    case 'map': return new Y.Map(Object.entries(v.v ?? {}).map(([k, e]) => [k, plain(e)]))
    case 'xmlhook': {
      const hook = new Y.XmlHook(v.tag)
      for (const [k, e] of Object.entries(v.v ?? {})) hook.set(k, plain(e))
      return hook
    }
    case 'xmlfragment': {
      const f = new Y.XmlFragment()
      f.insert(0, (v.c ?? []).map(plain))
      return f
    }
    case 'xmlelement': {
      const el = new Y.XmlElement(v.tag)
      el.insert(0, (v.c ?? []).map(plain))
      for (const [k, e] of Object.entries(v.attrs ?? {})) el.setAttribute(k, plain(e))
      return el
    }
  }
  throw new Error('no such type: ' + v.$y)
}

const delta = d => d.map(op => {
  const out = { ...op }
  if ('insert' in op) out.insert = plain(op.insert)
  if ('attributes' in op) out.attributes = plain(op.attributes)
  return out
})

const loneSurrogate = /[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/

const tagged = v => {
  if (v === undefined) return { $undef: true }
  if (v === null) return null
  switch (typeof v) {
    case 'bigint': return { $bigint: String(v) }
    case 'number':
      if (Number.isNaN(v)) return { $num: 'NaN' }
      if (!Number.isFinite(v)) return { $num: v > 0 ? 'Infinity' : '-Infinity' }
      return Object.is(v, -0) ? { $num: '-0' } : v
    case 'string':
      return loneSurrogate.test(v) ? { $utf16: Array.from({ length: v.length }, (_, i) => v.charCodeAt(i)) } : v
    case 'object':
      break
    default:
      return v
  }
  if (v instanceof Uint8Array) return { $bin: b64(v) }
  if (v instanceof Y.Doc) {
    const doc = { guid: v.guid, gc: v.gc, autoLoad: v.autoLoad, shouldLoad: v.shouldLoad }
    if (v.meta !== null && v.meta !== undefined) doc.meta = tagged(v.meta)
    return { $doc: doc }
  }
  if (v instanceof Y.AbstractType) return deep(v)
  if (Array.isArray(v)) return v.map(tagged)
  return Object.fromEntries(Object.entries(v).map(([k, e]) => [k, tagged(e)]))
}

const taggedDelta = d => d.map(op => {
  const out = { ...op }
  if ('insert' in op) out.insert = tagged(op.insert)
  if (op.attributes) out.attributes = tagged(op.attributes)
  return out
})

const deep = t => {
  if (t instanceof Y.Text) {
    const out = { $y: t instanceof Y.XmlText ? 'xmltext' : 'text', d: taggedDelta(t.toDelta()) }
    const attrs = t.getAttributes()
    if (Object.keys(attrs).length > 0) out.attrs = tagged(attrs)
    return out
  }
  if (t instanceof Y.Array) return { $y: 'array', v: t.toArray().map(tagged) }
  if (t instanceof Y.XmlElement) {
    return { $y: 'xmlelement', tag: t.nodeName, attrs: tagged(t.getAttributes()), c: t.toArray().map(tagged) }
  }
  if (t instanceof Y.XmlFragment) return { $y: 'xmlfragment', c: t.toArray().map(tagged) }
  if (t instanceof Y.XmlHook) return { $y: 'xmlhook', tag: t.hookName, v: entries(t) }
  if (t instanceof Y.Map) return { $y: 'map', v: entries(t) }
  throw new Error('cannot dump ' + t.constructor.name)
}

const entries = m => Object.fromEntries([...m.entries()].map(([k, v]) => [k, tagged(v)]))

// documents

const docs = new Map()

const define = (doc, name, type) => {
  switch (type) {
    case 'text': return doc.getText(name)
    case 'array': return doc.getArray(name)
    case 'map': return doc.getMap(name)
    case 'xml': return doc.getXmlFragment(name)
    case 'xmltext': return doc.get(name, Y.XmlText)
    case 'xmlelement': return doc.get(name, Y.XmlElement)
  }
  throw new Error('no such root type: ' + type)
}

const kind = t => deep(t).$y

const typeOf = t => ({ $y: kind(t) })

const event = (root, e) => {
  const out = { root, path: e.path.map(tagged), target: kind(e.target), delta: taggedDelta(e.delta) }
  const keys = [...e.keys].map(([k, { action, oldValue }]) =>
    [k, { action, old: oldValue instanceof Y.AbstractType ? typeOf(oldValue) : tagged(oldValue) }])
  if (keys.length > 0) out.keys = Object.fromEntries(keys)
  return out
}

const guids = subdocs => [...subdocs].map(s => s.guid).sort()

const open = ({ doc: name, clientID, gc, roots, quiet, observe }) => {
  docs.get(name)?.doc.destroy()
  const doc = new Y.Doc({ gc: gc ?? true })
  if (clientID !== undefined) doc.clientID = clientID
  const d = { doc, emitted: [], events: [], subdocs: [], roots: {} }
  for (const [root, type] of Object.entries(roots ?? {})) {
    const t = d.roots[root] = define(doc, root, type)
    if (observe) t.observeDeep(events => d.events.push(...events.map(e => event(root, e))))
  }
  docs.set(name, d)
  if (quiet) return {}
  doc.on('subdocs', e => d.subdocs.push(Object.fromEntries(['added', 'removed', 'loaded'].map(k => [k, guids(e[k])]))))
  doc.on('update', (v1, _, __, tr) => d.emitted.push({ v1: b64(v1), local: tr.local }))
  doc.on('updateV2', v2 => { d.emitted[d.emitted.length - 1].v2 = b64(v2) })
  return {}
}

// embedded: the nth thing in a text that is no text.
const embedded = (t, n) => {
  for (let item = t._start; ; item = item.right) {
    if (item.deleted || !item.countable || item.content instanceof Y.ContentString) continue
    if (n-- === 0) return item.content.getContent()[0]
  }
}

const at = (d, path) => {
  let t = d.roots[path[0]]
  for (const step of path.slice(1).map(plain)) {
    if (typeof step === 'number') t = t instanceof Y.Text ? embedded(t, step) : t.get(step)
    else if (t instanceof Y.Map) t = t.get(step)
    else t = t.getAttribute(step)
  }
  return t
}

const subdoc = (t, o) => t.get(t instanceof Y.Map ? plain(o.k) : o.i)

const edits = {
  ins: (t, o) => o.a === undefined ? t.insert(o.i, plain(o.s)) : t.insert(o.i, plain(o.s), plain(o.a)),
  emb: (t, o) => o.a === undefined ? t.insertEmbed(o.i, plain(o.v)) : t.insertEmbed(o.i, plain(o.v), plain(o.a)),
  del: (t, o) => t.delete(o.i, o.n),
  fmt: (t, o) => t.format(o.i, o.n, plain(o.a)),
  delta: (t, o) => t.applyDelta(delta(o.d), { sanitize: o.sanitize ?? true }),
  attr: (t, o) => t.setAttribute(plain(o.k), plain(o.v)),
  rmattr: (t, o) => t.removeAttribute(plain(o.k)),
  ains: (t, o) => t.insert(o.i, o.v.map(plain)),
  push: (t, o) => t.push(o.v.map(plain)),
  unshift: (t, o) => t.unshift(o.v.map(plain)),
  after: (t, o) => t.insertAfter(o.ref === null ? null : t.get(o.ref), o.v.map(plain)),
  set: (t, o) => t.set(plain(o.k), plain(o.v)),
  unset: (t, o) => t.delete(plain(o.k)),
  clear: t => t.clear(),
  load: (t, o) => subdoc(t, o).load(),
  destroy: (t, o) => subdoc(t, o).destroy(),
  clone: (t, o, d) => t instanceof Y.Map ? t.set(plain(o.k), at(d, o.from).clone()) : t.insert(o.i, [at(d, o.from).clone()])
}

const drain = d => {
  const emitted = d.emitted
  const { events, subdocs } = d
  d.emitted = []
  d.events = []
  d.subdocs = []
  return { emitted, events, subdocs }
}

// histories: many steps in one command, answered by a hash of what each step made (sum_test.go)

const float = new DataView(new ArrayBuffer(8))

class Sum {
  a = 0
  b = 0

  unit (u) {
    this.a = Math.imul(this.a ^ u, 0x01000193)
    this.b = (Math.imul(this.b, 31) + u) | 0
  }

  bytes (u) {
    this.unit(u.length)
    let { a, b } = this
    for (let i = 0; i < u.length; i++) {
      a = Math.imul(a ^ u[i], 0x01000193)
      b = (Math.imul(b, 31) + u[i]) | 0
    }
    this.a = a
    this.b = b
  }

  text (s) {
    for (let i = 0; i < s.length; i++) this.unit(s.charCodeAt(i))
    this.unit(0x10000)
  }

  number (f) {
    float.setFloat64(0, f)
    this.unit(float.getInt32(0))
    this.unit(float.getInt32(4))
  }

  value () { return (this.a >>> 0) * 2097152 + (this.b >>> 11) }

  emitted (list) {
    this.unit(list.length)
    for (const e of list) {
      this.unit(e.local ? 1 : 0)
      this.bytes(e.v1)
      this.bytes(e.v2)
    }
  }

  state (y) {
    this.bytes(Y.encodeStateAsUpdate(y))
    this.bytes(Y.encodeStateAsUpdateV2(y))
    this.bytes(Y.encodeStateVector(y))
    const missing = [...y.store.pendingStructs?.missing ?? []].sort((x, y) => x[0] - y[0])
    this.unit(missing.length)
    for (const [client, clock] of missing) {
      this.number(client)
      this.number(clock)
    }
    this.unit(y.store.pendingDs !== null ? 1 : 0)
  }

  content (v) {
    if (v === undefined) return this.unit(0x20000)
    if (v === null) return this.unit(0x20001)
    switch (typeof v) {
      case 'boolean':
        this.unit(0x20002)
        return this.unit(v ? 1 : 0)
      case 'number':
        this.unit(0x20003)
        return this.number(v)
      case 'bigint':
        this.unit(0x20004)
        this.unit(Number(BigInt.asIntN(32, v >> 32n)))
        return this.unit(Number(BigInt.asIntN(32, v)))
      case 'string':
        this.unit(0x20005)
        return this.text(v)
    }
    if (v instanceof Uint8Array) {
      this.unit(0x20006)
      this.bytes(v)
    } else if (Array.isArray(v)) {
      this.unit(0x20007)
      this.list(v)
    } else if (v instanceof Y.AbstractType) {
      this.unit(0x20009)
      this.shared(v)
    } else if (v instanceof Y.Doc) {
      this.unit(0x2000a)
      this.text(v.guid)
      this.unit(v.gc ? 0 : 1)
      this.unit(v.autoLoad ? 1 : 0)
      this.unit(v.shouldLoad ? 1 : 0)
      if (v.meta === null || v.meta === undefined) this.unit(0)
      else this.content(v.meta)
    } else {
      this.unit(0x20008)
      this.fields(Object.entries(v))
    }
  }

  list (l) {
    this.unit(l.length)
    for (const e of l) this.content(e)
  }

  fields (entries) {
    entries.sort((x, y) => x[0] < y[0] ? -1 : 1)
    this.unit(entries.length)
    for (const [k, e] of entries) {
      this.text(k)
      this.content(e)
    }
  }

  shared (t) {
    this.unit(kindOf(t))
    if (t instanceof Y.Text) {
      this.unit(t.length)
      for (const op of t.toDelta()) {
        this.content(op.insert)
        this.fields(Object.entries(op.attributes ?? {}))
      }
      this.fields(Object.entries(t.getAttributes()))
      this.text(t.toString())
    } else if (t instanceof Y.Array) {
      this.list(t.toArray())
    } else if (t instanceof Y.XmlHook) {
      this.text(t.hookName)
      this.fields([...t.entries()])
    } else if (t instanceof Y.Map) {
      this.fields([...t.entries()])
    } else {
      if (t instanceof Y.XmlElement) {
        this.text(t.nodeName)
        this.fields(Object.entries(t.getAttributes()))
      }
      this.list(t.toArray())
    }
  }
}

const kindOf = t => {
  if (t instanceof Y.XmlText) return 6
  if (t instanceof Y.Text) return 2
  if (t instanceof Y.Array) return 0
  if (t instanceof Y.XmlHook) return 5
  if (t instanceof Y.Map) return 1
  return t instanceof Y.XmlElement ? 3 : 4
}

const diffs = [null, Y.diffUpdate, Y.diffUpdateV2]
const merges = [null, Y.mergeUpdates, Y.mergeUpdatesV2]
const applies = [null, Y.applyUpdate, Y.applyUpdateV2]
const states = [null, Y.encodeStateAsUpdate, Y.encodeStateAsUpdateV2]
const converts = [null, Y.convertUpdateFormatV2ToV1, Y.convertUpdateFormatV1ToV2]

const none = new Uint8Array()

class History {
  constructor ({ replicas, roots, versions, undoes }) {
    this.updates = []
    this.replicas = replicas.map(({ client, gc }) => {
      const doc = new Y.Doc({ gc })
      doc.clientID = client
      const d = { doc, emitted: [], events: [], roots: {} }
      for (const [root, type] of Object.entries(roots)) d.roots[root] = define(doc, root, type)
      if (undoes) d.undo = new Y.UndoManager(Object.values(d.roots), { captureTimeout: 0, trackedOrigins: new Set(['local']) })
      if (versions.includes(1)) doc.on('update', (v1, _, __, tr) => d.emitted.push({ v1, v2: none, local: tr.local }))
      if (versions.length === 2) doc.on('updateV2', v2 => { d.emitted[d.emitted.length - 1].v2 = v2 })
      else if (versions[0] === 2) doc.on('updateV2', (v2, _, __, tr) => d.emitted.push({ v1: none, v2, local: tr.local }))
      return d
    })
  }

  // Each step returns what it made: { emitted }, { bytes } of updates, { state } or { content } of a replica.

  edit (r, ops) {
    const d = this.replicas[r]
    d.doc.transact(() => { for (const o of ops) edits[o.o](at(d, o.at), o, d) }, 'local')
    return this.drain(d)
  }

  undo (r, what) {
    const d = this.replicas[r]
    const popped = d.undo[what]()
    return { bytes: [[popped === null ? 0 : 1]], ...this.drain(d) }
  }

  drain (d) {
    const { emitted } = drain(d)
    for (const e of emitted) if (e.local) this.updates.push([null, e.v1, e.v2])
    return { emitted }
  }

  // deliver applies updates, merged if they are several, without what is known if cut.
  deliver (r, v, ks, cut) {
    const d = this.replicas[r]
    const us = ks.map(k => this.updates[k][v])
    let u = us.length === 1 ? us[0] : merges[v](us)
    if (cut) u = diffs[v](u, Y.encodeStateVector(d.doc))
    applies[v](d.doc, u, 'remote')
    return { ...this.drain(d), bytes: [u] }
  }

  // sync applies what one replica has and another one lacks.
  sync (r, from, lacks, v, cut) {
    const d = this.replicas[r]
    const y = this.replicas[from].doc
    const sv = Y.encodeStateVector(this.replicas[lacks].doc)
    const bytes = [states[v](y, sv)]
    if (cut) bytes.push(diffs[v](states[v](y), sv))
    applies[v](d.doc, bytes[0], 'remote')
    return { ...this.drain(d), bytes }
  }

  // merge merges updates and states that overlap.
  merge (v, sources) {
    const merged = merges[v](sources.map(([kind, x, y]) => {
      switch (kind) {
        case 'update': return this.updates[x][v]
        case 'state': return states[v](this.replicas[x].doc)
        default: return states[v](this.replicas[x].doc, Y.encodeStateVector(this.replicas[y].doc))
      }
    }))
    return { bytes: [merged, converts[3 - v](merged)] }
  }

  state (r) { return { state: this.replicas[r].doc } }
  content (r) { return { content: this.replicas[r] } }
}

const sumOf = made => {
  const h = new Sum()
  for (const u of made.bytes ?? []) h.bytes(u)
  if (made.emitted) h.emitted(made.emitted)
  if (made.state) h.state(made.state)
  if (made.content) {
    for (const name of Object.keys(made.content.roots).sort()) {
      const t = made.content.roots[name]
      h.shared(t)
      if (t instanceof Y.XmlFragment) h.text(t.toString())
    }
  }
  return h.value()
}

const detailOf = made => ({
  bytes: made.bytes?.map(u => b64(Uint8Array.from(u))),
  emitted: made.emitted?.map(e => ({ v1: b64(e.v1), v2: b64(e.v2), local: e.local })),
  ...(made.state ? everything(made.state, {}) : {}),
  ...(made.content ? { deep: Object.fromEntries(Object.entries(made.content.roots).map(([k, t]) => [k, deep(t)])) } : {})
})

// run: a whole history; detail is the number of the step to tell in full, which ends it.
const run = ({ history, detail }) => {
  const h = new History(history)
  const sums = []
  for (const [i, [step, ...args]] of history.steps.entries()) {
    let made
    try {
      made = h[step](...args)
    } catch (err) {
      return { sums, thrown: String(err?.stack ?? err) }
    }
    sums.push(sumOf(made))
    if (i === detail) return { sums, detail: detailOf(made) }
  }
  for (const d of h.replicas) d.doc.destroy()
  return { sums }
}

const mapOf = m => Object.fromEntries([...m.entries()].filter(([, clock]) => clock > 0))

const byVersion = (v, one, two) => v === 2 ? two : one

const commands = {
  ...commandsOf({ docs, at, plain, tagged, kind, drain, b64, unb64 }),
  hello: () => ({ name: 'yjs', node: process.version }),
  reset: () => { docs.clear(); return {} },
  new: open,
  apply: ({ doc, v, u }) => {
    const d = docs.get(doc)
    byVersion(v, Y.applyUpdate, Y.applyUpdateV2)(d.doc, unb64(u), 'remote')
    return drain(d)
  },
  edit: ({ doc, ops, origin }) => {
    const d = docs.get(doc)
    d.doc.transact(() => { for (const o of ops) edits[o.o](at(d, o.at), o, d) }, origin === undefined ? 'local' : origin)
    return drain(d)
  },
  state: ({ doc, v, sv }) => ({
    u: b64(byVersion(v, Y.encodeStateAsUpdate, Y.encodeStateAsUpdateV2)(docs.get(doc).doc, sv === undefined ? undefined : unb64(sv)))
  }),
  // copy: a new document that is given the state of another one.
  copy: ({ doc, from, gc, roots }) => {
    open({ doc, clientID: docs.get(from).doc.clientID, gc, roots })
    Y.applyUpdate(docs.get(doc).doc, Y.encodeStateAsUpdate(docs.get(from).doc))
    return {}
  },
  // all: everything that is compared of a document.
  all: ({ doc }) => {
    const { doc: y, roots } = docs.get(doc)
    return everything(y, roots)
  },
  run,
  pending: ({ doc }) => ({ pending: pending(docs.get(doc).doc) }),
  merge: ({ v, us }) => ({ u: b64(byVersion(v, Y.mergeUpdates, Y.mergeUpdatesV2)(us.map(unb64))) }),
  diff: ({ v, u, sv }) => ({ u: b64(byVersion(v, Y.diffUpdate, Y.diffUpdateV2)(unb64(u), unb64(sv))) }),
  snapshot: ({ doc, v }) => ({ s: b64(byVersion(v, Y.encodeSnapshot, Y.encodeSnapshotV2)(Y.snapshot(docs.get(doc).doc))) }),
  // past: what a snapshot shows, and what it and an earlier one show together.
  past: ({ doc, s, prev, v }) => {
    const { doc: y, roots } = docs.get(doc)
    const at = byVersion(v, Y.decodeSnapshot, Y.decodeSnapshotV2)
    const then = new Y.Doc({ gc: false })
    Y.createDocFromSnapshot(y, at(unb64(s)), then)
    const state = b64(Y.encodeStateAsUpdateV2(then))
    const mark = (type, { client, clock }) => ({ type, id: [client, clock] })
    const each = (kind, f) => Object.fromEntries(Object.entries(roots).filter(([, t]) => t instanceof kind).map(([k, t]) => [k, f(t, k)]))
    return {
      state,
      deltas: each(Y.Text, t => taggedDelta(t.toDelta(at(unb64(s))))),
      changes: each(Y.Text, t => taggedDelta(t.toDelta(at(unb64(s)), at(unb64(prev)), mark))),
      json: each(Y.AbstractType, (t, k) => tagged(then.get(k, t.constructor).toJSON())),
      after: b64(Y.encodeStateAsUpdateV2(y))
    }
  },
  relpos: ({ doc, path, index, assoc }) => {
    const p = Y.createRelativePositionFromTypeIndex(at(docs.get(doc), path), index, assoc)
    return { rp: b64(Y.encodeRelativePosition(p)), json: JSON.stringify(Y.relativePositionToJSON(p)) }
  },
  abspos: ({ doc, rp, follow }) => {
    const d = docs.get(doc)
    const p = Y.createAbsolutePositionFromRelativePosition(Y.decodeRelativePosition(unb64(rp)), d.doc, follow)
    if (p === null) return { pos: null }
    const name = Object.keys(d.roots).find(k => d.roots[k] === p.type)
    return { pos: { index: p.index, assoc: p.assoc, type: name ?? [p.type._item.id.client, p.type._item.id.clock] } }
  },
  convert: ({ to, u }) => ({ u: b64(byVersion(to, Y.convertUpdateFormatV2ToV1, Y.convertUpdateFormatV1ToV2)(unb64(u))) })
}

const everything = (y, roots) => ({
  v1: b64(Y.encodeStateAsUpdate(y)),
  v2: b64(Y.encodeStateAsUpdateV2(y)),
  sv: b64(Y.encodeStateVector(y)),
  map: mapOf(stateVector(y)),
  ds: deleteSet(y),
  deep: Object.fromEntries(Object.entries(roots).map(([k, t]) => [k, deep(t)])),
  pending: pending(y)
})

const stateVector = y => Y.decodeStateVector(Y.encodeStateVector(y))

const deleteSet = y => {
  const out = {}
  for (const [client, list] of Y.createDeleteSetFromStructStore(y.store).clients) out[client] = list.map(r => [r.clock, r.len])
  return out
}

const pending = y => {
  const { pendingStructs, pendingDs } = y.store
  if (pendingStructs === null && pendingDs === null) return null
  const out = {}
  if (pendingStructs !== null) out.missing = Object.fromEntries(pendingStructs.missing)
  if (pendingDs !== null) out.ds = true
  return out
}

readline.createInterface({ input: process.stdin }).on('line', line => {
  const { id, op, ...args } = JSON.parse(line)
  let answer
  try {
    answer = { id, ok: true, ...commands[op](args) }
  } catch (err) {
    answer = { id, ok: false, err: String(err?.stack ?? err) }
  }
  process.stdout.write(JSON.stringify(answer) + '\n')
})
