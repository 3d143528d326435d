// Runs the rows of the benchmark on one of the rivals: node --expose-gc
// driver.mjs <yjs|ywasm|loro> <folder of the data>. A line of standard input
// names a row, {"row": "B1.1", "budget": 300, "samples": 200}; the answer is a
// line of JSON.
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { createInterface } from 'node:readline'
import { gunzipSync } from 'node:zlib'

const require = createRequire(import.meta.url)
const [name, dir] = process.argv.slice(2)

const file = (f) => new Uint8Array(readFileSync(`${dir}/${f}`))
const json = (f) => JSON.parse(gunzipSync(file(f)).toString())
const sha = (b) => createHash('sha256').update(b).digest('hex')
const memo = (fn) => {
  const kept = new Map()
  return (key) => {
    if (!kept.has(key)) kept.set(key, fn(key))
    return kept.get(key)
  }
}
const updatesOf = memo((set) => {
  const b = new Uint8Array(gunzipSync(file(`${set}.updates.v1.bin.gz`)))
  const out = []
  for (let i = 0; i < b.length;) {
    let n = 0
    let shift = 0
    for (; b[i] >= 128; i++, shift += 7) n |= (b[i] & 127) << shift
    n |= b[i++] << shift
    out.push(b.slice(i, i + n))
    i += n
  }
  return out
})
const traceOf = memo((set) => json(`${set}.trace.json.gz`).map((t) => set === 'b4' ? [t] : t))
const inputs = memo(() => json('b1b2.inputs.json.gz'))
const stateOf = memo((f) => file(f))
const quiet = () => {}

const engines = {
  yjs: async () => {
    const Y = await import('yjs')
    return {
      Y,
      create (client, onUpdate) {
        const doc = new Y.Doc()
        doc.clientID = client
        if (onUpdate) doc.on('update', onUpdate)
        const text = doc.getText('text')
        const array = doc.getArray('array')
        const map = doc.getMap('map')
        return {
          doc,
          insertText: (at, s) => text.insert(at, s),
          deleteText: (at, n) => text.delete(at, n),
          text: () => text.toString(),
          insertArray: (at, list) => array.insert(at, list),
          array: () => array.toArray(),
          setMap: (k, v) => map.set(k, v),
          map: () => map.toJSON(),
          transact: (fn) => doc.transact(fn),
          apply: (u) => Y.applyUpdate(doc, u),
          applyV2: (u) => Y.applyUpdateV2(doc, u),
          applyAll: (us) => doc.transact(() => us.forEach((u) => Y.applyUpdate(doc, u))),
          state: (v, sv) => v === 2 ? Y.encodeStateAsUpdateV2(doc, sv) : Y.encodeStateAsUpdate(doc, sv),
          free: quiet
        }
      },
      // A flat merge takes time with the square of the number of updates.
      mergeTree (updates) {
        const fan = 64
        while (updates.length > 1) {
          const next = []
          for (let i = 0; i < updates.length; i += fan) next.push(Y.mergeUpdates(updates.slice(i, i + fan)))
          updates = next
        }
        return updates[0]
      },
      stateVectorOf: Y.encodeStateVectorFromUpdate,
      diff: Y.diffUpdate,
      memory: () => {
        const m = process.memoryUsage()
        return m.heapUsed + m.external
      }
    }
  },
  ywasm: async () => {
    const W = require('ywasm')
    return {
      create (client, onUpdate) {
        const doc = new W.YDoc({ clientID: client, gc: true })
        const observer = onUpdate ? doc.onUpdate(onUpdate) : null
        const text = doc.getText('text')
        const array = doc.getArray('array')
        const map = doc.getMap('map')
        let txn
        const transact = (fn) => {
          if (txn) return fn()
          txn = doc.beginTransaction(null)
          try { fn() } finally { txn.free(); txn = undefined }
        }
        return {
          doc,
          insertText: (at, s) => text.insert(at, s, undefined, txn),
          deleteText: (at, n) => text.delete(at, n, txn),
          text: () => text.toString(txn),
          insertArray: (at, list) => array.insert(at, list, txn),
          array: () => array.toJson(txn),
          setMap: (k, v) => map.set(k, v, txn),
          map: () => map.toJson(txn),
          transact,
          apply: (u) => W.applyUpdate(doc, u, null),
          applyV2: (u) => W.applyUpdateV2(doc, u, null),
          applyAll: (us) => transact(() => us.forEach((u) => txn.applyV1(u))),
          state: (v, sv) => v === 2 ? W.encodeStateAsUpdateV2(doc, sv) : W.encodeStateAsUpdate(doc, sv),
          free: () => { observer?.free(); text.free(); array.free(); map.free(); doc.free() }
        }
      },
      memory: () => process.memoryUsage.rss()
    }
  },
  loro: async () => {
    const { LoroDoc } = require('loro-crdt')
    return {
      create (client, onUpdate) {
        const doc = new LoroDoc()
        doc.setPeerId(BigInt(client))
        const off = onUpdate ? doc.subscribeLocalUpdates(onUpdate) : quiet
        const text = doc.getText('text')
        const list = doc.getList('array')
        const map = doc.getMap('map')
        let open = false
        const transact = (fn) => {
          if (open) return fn()
          open = true
          fn()
          open = false
          doc.commit()
        }
        return {
          doc,
          insertText: (at, s) => transact(() => text.insert(at, s)),
          deleteText: (at, n) => transact(() => text.delete(at, n)),
          text: () => text.toString(),
          insertArray: (at, values) => transact(() => { for (let i = 0; i < values.length; i++) list.insert(at + i, values[i]) }),
          array: () => list.toJSON(),
          setMap: (k, v) => transact(() => map.set(k, v)),
          map: () => map.toJSON(),
          transact,
          apply: (u) => doc.import(u),
          applyAll: (us) => doc.importBatch(us),
          state: () => doc.export({ mode: 'snapshot' }),
          free: () => { off(); doc.free() }
        }
      },
      memory: () => process.memoryUsage.rss()
    }
  }
}

const E = await engines[name]()
const [clientA, clientB] = [1815943022, 3021377542]
const client = (i) => Math.imul(i + 1, 2654435761) >>> 0

// kind says what a row is about: how its result is read, within the time.
const read = { text: (d) => d.text(), array: (d) => d.array(), map: (d) => d.map() }
const shown = (kind, v) => sha(kind === 'text' ? v : JSON.stringify(v))

const edit = (d, [at, del, ins]) => {
  if (del > 0) d.deleteText(at, del)
  if (ins) d.insertText(at, ins)
}

// b1: one document makes all edits, then another gets the updates.
const b1 = (kind, ops) => ({
  setup: () => ({ ops: ops() }),
  run (c) {
    const updates = []
    c.one = E.create(clientA, (u) => updates.push(u))
    c.two = E.create(clientB)
    c.ops(c.one)
    for (const u of updates) c.two.apply(u)
    c.shown = read[kind](c.one)
    c.again = read[kind](c.two)
  },
  check: (c) => ({ shown: shown(kind, c.shown), again: shown(kind, c.again), state: c.two.state(1) }),
  free: (c) => { c.one.free(); c.two.free() }
})
const each = (list, fn) => () => (d) => list().forEach((x, i) => fn(d, x, i))

// b2: two documents with a common start; in turn, or apart and then exchanged.
const b2 = (row, apart) => ({
  setup () {
    const c = { updates: [[], []], input: inputs()[row] }
    let passing = false
    const pass = (to) => (u) => {
      if (passing) return
      passing = true
      c[to].apply(u)
      passing = false
    }
    c.one = E.create(clientA, apart ? (u) => c.updates[0].push(u) : pass('two'))
    c.two = E.create(clientB, apart ? (u) => c.updates[1].push(u) : pass('one'))
    c.one.insertText(0, inputs().initText)
    if (apart) {
      c.two.apply(c.updates[0].pop())
      c.updates[1].length = 0
    }
    return c
  },
  run (c) {
    const change = (d, input) => d.transact(() => {
      if (typeof input === 'string') d.insertText(0, input)
      else for (const op of input) edit(d, op)
    })
    change(c.one, c.input[0])
    change(c.two, c.input[1])
    if (apart) {
      const [a, b] = [c.updates[0].slice(), c.updates[1].slice()]
      for (const u of a) c.two.apply(u)
      for (const u of b) c.one.apply(u)
    }
    c.shown = c.one.text()
    c.again = c.two.text()
  },
  check: (c) => ({ shown: sha(c.shown), again: sha(c.again), state: c.two.state(1) }),
  free: (c) => { c.one.free(); c.two.free() }
})

// b3: many clients make one change each; one of them gets all.
const b3 = (kind, change) => {
  const clients = 1540
  const made = memo(() => {
    const updates = []
    for (let i = 0; i < clients; i++) {
      const d = E.create(client(i), (u) => updates.push(u))
      change(d, i)
      d.free()
    }
    return updates
  })
  return {
    setup () {
      const d = E.create(client(1), quiet)
      change(d, 1)
      return { d, updates: made() }
    },
    run (c) {
      c.d.applyAll(c.updates)
      c.shown = read[kind](c.d)
    },
    check: (c) => ({ shown: shown(kind, c.shown), state: c.d.state(1) }),
    free: (c) => c.d.free()
  }
}

// replaces tells whether an edit is two calls, which are one transaction.
const replaces = ([, del, ins]) => del > 0 && ins

const replay = (set) => ({
  setup: () => ({ trace: traceOf(set), bytes: 0 }),
  run (c) {
    c.d = E.create(clientA, (u) => { c.bytes += u.length })
    for (const t of c.trace) {
      if (t.length === 1 && !replaces(t[0])) edit(c.d, t[0])
      else c.d.transact(() => { for (const op of t) edit(c.d, op) })
    }
  },
  check: (c) => ({ shown: sha(c.d.text()), state: c.d.state(1), bytes: c.bytes }),
  free: (c) => c.d.free()
})

const load = (f, v, text) => ({
  setup: () => ({ state: stateOf(f) }),
  run (c) {
    c.d = E.create(clientB)
    if (v === 2) c.d.applyV2(c.state)
    else c.d.apply(c.state)
    if (text) c.shown = c.d.text()
  },
  check: (c) => ({ shown: sha(c.d.text()), state: c.d.state(1) }),
  free: (c) => c.d.free()
})

const arrive = (set, encode) => ({
  setup: () => ({ updates: updatesOf(set), bytes: 0 }),
  run (c) {
    c.d = E.create(1, (u) => { c.bytes += u.length })
    for (const u of c.updates) c.d.apply(u)
    if (encode) c.encoded = c.d.state(1)
  },
  check: (c) => ({ shown: sha(c.d.text()), state: c.d.state(1), bytes: c.bytes }),
  free: (c) => c.d.free()
})

const merge = (n) => ({
  setup: () => ({ updates: updatesOf('b4').slice(0, n) }),
  run (c) { c.out = E.mergeTree(c.updates) },
  check: (c) => ({ out: sha(c.out) }),
  free: quiet
})

// opened: work on the open B4 document, which is not part of the time.
const b4 = memo(() => {
  const d = E.create(clientB)
  d.apply(stateOf('b4.state.v1.bin'))
  return d
})
const opened = (work) => ({
  setup: () => ({ d: b4() }),
  run (c) { c.out = work(c.d) },
  check: (c) => ({ out: sha(c.out) }),
  free: quiet
})
const bytewise = (work) => ({
  setup: () => ({ state: stateOf('b4.state.v1.bin') }),
  run (c) { c.out = work(c.state) },
  check: (c) => ({ out: sha(c.out) }),
  free: quiet
})
const behind = memo(() => new Uint8Array(file('b4.behind100.sv.bin')))

const B1 = (row) => () => inputs()[row]
const chars = (row) => () => [...inputs()[row]]
const rows = {
  'B1.1': b1('text', each(chars('B1.1'), (d, s, i) => d.insertText(i, s))),
  'B1.2': b1('text', () => (d) => d.insertText(0, inputs()['B1.2'])),
  'B1.3': b1('text', each(chars('B1.3'), (d, s) => d.insertText(0, s))),
  'B1.4': b1('text', each(B1('B1.4'), edit)),
  'B1.5': b1('text', each(B1('B1.5'), edit)),
  'B1.6': b1('text', () => (d) => {
    const s = inputs()['B1.6']
    d.insertText(0, s)
    d.deleteText(0, s.length)
  }),
  'B1.7': b1('text', each(B1('B1.7'), edit)),
  'B1.8': b1('array', each(B1('B1.8'), (d, n, i) => d.insertArray(i, [n]))),
  'B1.9': b1('array', () => (d) => d.insertArray(0, inputs()['B1.9'])),
  'B1.10': b1('array', each(B1('B1.10'), (d, n) => d.insertArray(0, [n]))),
  'B1.11': b1('array', each(B1('B1.11'), (d, [at, n]) => d.insertArray(at, [n]))),
  'B3.1': b3('map', (d, i) => d.setMap('v', i)),
  'B3.2': b3('map', (d, i) => d.setMap('v', { name: String(i), address: 'here' })),
  'B3.3': b3('map', (d, i) => d.setMap('v', String(i).repeat(1540))),
  'B3.4': b3('array', (d, i) => d.insertArray(0, [String(i)])),
  'B3.5': b3('text', (d, i) => d.insertText(0, String(i))),
  B4: replay('b4'),
  'S.apply1': load('b4.state.v1.bin', 1, false),
  'S.apply2': load('b4.state.v2.bin', 2, false),
  'S.apply1t': load('b4.state.v1.bin', 1, true),
  'S.apply2t': load('b4.state.v2.bin', 2, true),
  'S.updates': arrive('b4', false),
  'S.merge16k': merge(16000),
  'S.mergeall': merge(Infinity),
  'S.encode1': opened((d) => d.state(1)),
  'S.encode2': opened((d) => d.state(2)),
  'S.behind': opened((d) => d.state(1, behind())),
  'S.vector': bytewise((s) => E.stateVectorOf(s)),
  'S.diff': bytewise((s) => E.diff(s, behind()))
}
for (const n of ['1', '2', '3', '4']) {
  rows[`B2.${n}`] = b2(`B2.${n}`, false)
  rows[`B2c.${n}`] = b2(`B2.${n}`, true)
}
for (const set of ['sveltecomponent', 'rustcode', 'seph-blog1', 'friendsforever']) {
  rows[`T.${set}`] = arrive(set, true)
  rows[`E.${set}`] = replay(set)
}

// measure runs a row until its time is spent. Garbage is collected before, not
// between the samples: with every document gone, V8 forgets the code that it
// optimised for them.
const measure = ({ setup, run, check, free }, budget, samples) => {
  const wall = []
  let cpu = 0
  let spent = 0
  let checked
  gc()
  while (wall.length < samples && (wall.length === 0 || spent < budget)) {
    const c = setup()
    const before = process.cpuUsage()
    const start = process.hrtime.bigint()
    run(c)
    const took = Number(process.hrtime.bigint() - start) / 1e6
    const used = process.cpuUsage(before)
    wall.push(took)
    spent += took
    cpu += (used.user + used.system) / 1e3
    if (!checked) {
      checked = check(c)
      if (checked.state) checked.state = sha(checked.state)
    }
    free(c)
  }
  wall.sort((a, b) => a - b)
  return { median: wall[wall.length >> 1], min: wall[0], cpu: cpu / wall.length, samples: wall.length, ...checked }
}

// hold opens many documents and tells what each takes.
const hold = (f, n) => {
  const state = stateOf(f)
  const open = () => {
    const d = E.create(clientB)
    d.apply(state)
    return d
  }
  open().free()
  gc()
  const before = E.memory()
  const kept = Array.from({ length: n }, open)
  gc()
  const per = (E.memory() - before) / kept.length
  return { median: per, min: per, samples: 1, state: sha(kept[0].state(1)) }
}

for await (const line of createInterface({ input: process.stdin })) {
  const { row, budget, samples, hold: held } = JSON.parse(line)
  const answer = held ? hold(held, samples) : measure(rows[row], budget, samples)
  process.stdout.write(JSON.stringify(answer) + '\n')
}
