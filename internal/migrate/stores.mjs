// Makes the store of another server with that server's own packages, or compares
// what was imported from it.
//
//   node stores.mjs make KIND FOLDER
//   node stores.mjs compare < lines of {"source": base64, "imported": base64}
//
// KIND is y-websocket (y-leveldb 0.1 inside y-websocket 1.5), y-leveldb (0.2),
// hocuspocus-sqlite, hocuspocus-s3 (the objects as files) or y-sweet. The store is
// FOLDER/store; FOLDER/expected.json has for each document what the source's own
// package reads back: its update and its content, by Yjs.
import * as fs from 'node:fs'
import * as http from 'node:http'
import { createRequire } from 'node:module'
import { once } from 'node:events'
import * as path from 'node:path'
import * as readline from 'node:readline'

const require = createRequire(import.meta.url)
// One copy of Yjs for all: y-websocket 1.5 is CommonJS.
const Y = require('yjs')
const base64 = bytes => Buffer.from(bytes).toString('base64')

// content is what a person sees of a document whose roots are named as in the
// documents below.
const content = doc => ({
  text: doc.getText('text').toString(),
  map: doc.getMap('map').toJSON(),
  list: doc.getArray('list').toJSON().map(v => v instanceof Uint8Array ? base64(v) : v),
  page: doc.getXmlFragment('page').toString()
})

// random is a small generator with a seed, so that stores can be made again.
const random = seed => () => {
  seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0
  return seed / 2 ** 32
}

// edits makes a document the way people do: two clients, formats, nested types,
// deletions; each update goes to write.
function edits (seed, steps, write, words = ['plan ', 'é', '😀', 'Lisbon ', '\n', 'a longer piece of text ']) {
  const next = random(seed)
  const docs = [seed * 10 + 1, seed * 10 + 2].map(id => { const d = new Y.Doc(); d.clientID = id; return d })
  for (const doc of docs) {
    doc.on('update', (update, origin) => {
      if (origin === 'remote') return
      write(update)
      for (const other of docs) if (other !== doc) Y.applyUpdate(other, update, 'remote')
    })
  }
  for (let i = 0; i < steps; i++) {
    const doc = docs[Math.floor(next() * docs.length)]
    const text = doc.getText('text')
    const at = Math.floor(next() * (text.length + 1))
    doc.transact(() => {
      switch (Math.floor(next() * 8)) {
        case 0: if (text.length > 4) text.delete(Math.min(at, text.length - 3), 3); break
        case 1: if (text.length > 6) text.format(Math.min(at, text.length - 5), 5, { bold: next() < 0.5 ? true : null }); break
        case 2: doc.getMap('map').set('key' + Math.floor(next() * 5), [i, null, { deep: 'ü' + i }]); break
        case 3: doc.getMap('map').delete('key' + Math.floor(next() * 5)); break
        case 4: doc.getArray('list').push([i, new Y.Map([['n', i]]), new Uint8Array([i & 255, 0, 255])]); break
        case 5: {
          const p = new Y.XmlElement('p')
          doc.getXmlFragment('page').push([p])
          p.setAttribute('n', String(i))
          p.insert(0, [new Y.XmlText('paragraph ' + i)])
          break
        }
        default: text.insert(at, words[Math.floor(next() * words.length)])
      }
    })
  }
  return docs[0]
}

const names = ['plan', 'team/notes', 'caf%C3%A9%20menu', 'x'.repeat(200)]

class Expected {
  documents = {}

  add (name, update) {
    const doc = new Y.Doc({ gc: false })
    Y.applyUpdate(doc, update)
    this.documents[name] = {
      update: base64(update),
      vector: base64(Y.encodeStateVector(doc)),
      content: content(doc)
    }
  }
}

async function yWebsocket (store, expected) {
  process.env.YPERSISTENCE = store
  const { setupWSConnection, getPersistence, docs } = require('y-websocket/bin/utils')
  const { WebsocketProvider } = require('y-websocket')
  const { WebSocket, WebSocketServer } = await import('ws')
  const server = http.createServer()
  new WebSocketServer({ server }).on('connection', setupWSConnection)
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  for (const [i, name] of names.entries()) {
    const doc = new Y.Doc()
    doc.clientID = 1000 + i
    const provider = new WebsocketProvider(`ws://127.0.0.1:${server.address().port}`, decodeURIComponent(name), doc,
      { WebSocketPolyfill: WebSocket, disableBc: true })
    await once2(provider, 'sync')
    edits(i + 1, 120, update => Y.applyUpdate(doc, update))
    // The server answers in order: what was sent before has arrived.
    while (!docs.get(name) || !same(docs.get(name), doc)) await turn()
    provider.destroy()
  }
  const level = getPersistence().provider
  // Somebody who looked and never wrote.
  await level.storeUpdate('looked-at', Y.encodeStateAsUpdate(new Y.Doc()))
  for (const name of [...names, 'looked-at']) expected.add(name, Y.encodeStateAsUpdate(await level.getYDoc(name)))
  await level.destroy()
}

const once2 = (provider, event) => new Promise(resolve => provider.once(event, resolve))
const turn = () => new Promise(resolve => setImmediate(resolve))
const same = (a, b) => Y.equalSnapshots(Y.snapshot(a), Y.snapshot(b))

async function yLeveldb (store, expected) {
  const { LeveldbPersistence } = require('y-leveldb')
  let level = new LeveldbPersistence(store)
  for (const [i, name] of names.entries()) {
    const updates = []
    edits(i + 5, 120 * (i % 2) + 40, update => updates.push(update))
    for (const update of updates) await level.storeUpdate(name, update)
    if (i === 0) await level.flushDocument(name)
  }
  await level.setMeta('plan', 'owner', { name: 'Ada' })
  // Opened again, LevelDB moves its log into a table.
  await level.destroy()
  level = new LeveldbPersistence(store)
  // An edit whose predecessor never came.
  const lost = []
  edits(77, 30, update => lost.push(update))
  for (const update of lost.filter((_, i) => i !== 3)) await level.storeUpdate('waiting', update)
  for (const name of [...names, 'waiting']) expected.add(name, Y.encodeStateAsUpdate(await level.getYDoc(name)))
  await level.destroy()
}

async function hocuspocus (extension, expected, read) {
  const { Server } = require('@hocuspocus/server')
  const server = Server.configure({ quiet: true, debounce: 0, extensions: [extension], stopOnSignals: false })
  while (extension.onConfigure && !extension.ready) await turn()
  for (const [i, name] of [...names, 'a b/ü'].entries()) {
    const connection = await server.openDirectConnection(name)
    await connection.transact(document => edits(i + 20, 150, update => Y.applyUpdate(document, update)))
    await connection.disconnect()
    let update
    while ((update = await read(name)) === undefined || !stored(update, i)) await turn()
    expected.add(name, update)
  }
  await server.destroy?.()
}

function stored (update, i) {
  const want = edits(i + 20, 150, () => {})
  const got = new Y.Doc()
  Y.applyUpdate(got, update)
  return same(got, want)
}

async function hocuspocusSqlite (store, expected) {
  const { SQLite } = require('@hocuspocus/extension-sqlite')
  class Ready extends SQLite {
    // The extension does not wait for its table.
    async onConfigure () {
      await super.onConfigure()
      await new Promise(resolve => this.db.wait(resolve))
      this.ready = true
    }
  }
  const extension = new Ready({ database: store })
  await hocuspocus(extension, expected, documentName => extension.configuration.fetch({ documentName }))
  await new Promise((resolve, reject) => extension.db.close(err => err ? reject(err) : resolve()))
}

// The S3 extension was in no registry at hand. What it does beside talking to S3
// is this: the Database extension with a key of prefix + name + ".bin".
async function hocuspocusS3 (store, expected) {
  const { Database } = require('@hocuspocus/extension-database')
  const file = name => path.join(store, 'hocuspocus-documents', name + '.bin')
  const read = name => fs.existsSync(file(name)) ? fs.readFileSync(file(name)) : undefined
  await hocuspocus(new Database({
    fetch: async ({ documentName }) => read(documentName) ?? null,
    store: async ({ documentName, state }) => {
      fs.mkdirSync(path.dirname(file(documentName)), { recursive: true })
      fs.writeFileSync(file(documentName), state)
    }
  }), expected, async name => read(name))
}

// y-sweet itself was not run. Its files are put together from its format; the
// states in them are encoded by Yrs, the engine that y-sweet has. No emoji: where
// an edit takes half of one, Yrs and Yjs count it otherwise.
async function ySweet (store, expected) {
  const Yrs = await import('ywasm')
  const length = n => { const b = Buffer.alloc(8); b.writeBigUInt64LE(BigInt(n)); return b }
  const number = n => { const b = Buffer.alloc(4); b.writeUInt32BE(n); return b }
  const key = (...parts) => Buffer.concat(parts.map(p => typeof p === 'string' ? Buffer.from(p) : Buffer.from(p)))
  for (const [i, [name, tail]] of [['plan', 0], ['team_notes-2', 3], ['only-updates', 1000], ['empty', -1]].entries()) {
    const updates = []
    if (tail >= 0) edits(i + 40, 120, update => updates.push(update), ['plan ', 'é', 'Lisbon ', '\n', 'a longer piece of text '])
    const merged = new Yrs.YDoc()
    const head = updates.slice(0, Math.max(0, updates.length - tail))
    for (const update of head) Yrs.applyUpdate(merged, update, null)
    const entries = []
    if (tail >= 0) entries.push([key([0, 0], 'doc', [0]), number(1)])
    if (head.length > 0) {
      entries.push([key([0, 1], number(1), [0]), Yrs.encodeStateAsUpdate(merged)])
      entries.push([key([0, 1], number(1), [1]), Yrs.encodeStateVector(merged)])
    }
    for (const [j, update] of updates.slice(head.length).entries()) {
      entries.push([key([0, 1], number(1), [2], number(j + 1), [0]), update])
    }
    const file = [length(entries.length)]
    for (const [k, v] of entries) file.push(length(k.length), k, length(v.length), v)
    fs.mkdirSync(path.join(store, name), { recursive: true })
    fs.writeFileSync(path.join(store, name, 'data.ysweet'), Buffer.concat(file))
    const doc = new Y.Doc()
    for (const [, v] of entries.filter(([k]) => k[1] === 1 && k[6] !== 1)) Y.applyUpdate(doc, v)
    expected.add(name, Y.encodeStateAsUpdate(doc))
  }
}

const kinds = {
  'y-websocket': yWebsocket,
  'y-leveldb': yLeveldb,
  'hocuspocus-sqlite': hocuspocusSqlite,
  'hocuspocus-s3': hocuspocusS3,
  'y-sweet': ySweet
}

// compare loads source and import into Yjs, by its own means, and says what
// differs: state vector, delete set, content, what waits.
async function compare () {
  for await (const line of readline.createInterface({ input: process.stdin })) {
    const { name, source, imported } = JSON.parse(line)
    const [a, b] = [source, imported].map(update => {
      const doc = new Y.Doc()
      Y.applyUpdate(doc, Buffer.from(update, 'base64'))
      return doc
    })
    const differences = []
    const check = (what, x, y) => { if (x !== y) differences.push(what) }
    check('state vector', base64(sorted(a)), base64(sorted(b)))
    check('snapshot', true, same(a, b))
    check('formats', JSON.stringify(a.getText('text').toDelta()), JSON.stringify(b.getText('text').toDelta()))
    check('content', JSON.stringify(content(a)), JSON.stringify(content(b)))
    check('pending', a.store.pendingStructs === null, b.store.pendingStructs === null)
    console.log(JSON.stringify({ name, differences }))
  }
}

const sorted = doc => Buffer.from(JSON.stringify([...Y.decodeStateVector(Y.encodeStateVector(doc))].sort((x, y) => x[0] - y[0])))

const [what, kind, folder] = process.argv.slice(2)
if (what === 'compare') {
  await compare()
} else if (what === 'make' && kinds[kind]) {
  const expected = new Expected()
  fs.mkdirSync(folder, { recursive: true })
  await kinds[kind](path.join(folder, 'store'), expected)
  fs.writeFileSync(path.join(folder, 'expected.json'), JSON.stringify(expected.documents, null, 1) + '\n')
  process.exit(0)
} else {
  console.error('usage: node stores.mjs make KIND FOLDER | compare')
  process.exit(2)
}
