// Real y-websocket clients of every released line against a running server.
import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { test } from 'node:test'
import * as Y from 'yjs'
import { acknowledged, close, connect, connect14, converged, synced, until, versions } from './peers.mjs'

const newest = versions['3.1.0']
const fresh = label => `${label}-${randomUUID()}`

// A subdocument is its GUID.
const plain = value => JSON.parse(JSON.stringify(value, (_key, v) => (v instanceof Y.Doc ? { guid: v.guid } : v)))

const content = doc => ({
  text: doc.getText('text').toDelta(),
  array: doc.getArray('array').toJSON(),
  map: Object.fromEntries([...doc.getMap('map')].map(([k, v]) => [k, plain({ list: v.get('list'), guid: v.get('child') })])),
  xml: doc.getXmlFragment('xml').toString(),
})

const fill = (doc, who) => {
  doc.getText('text').insert(0, `${who} writes 🚌 `)
  doc.getText('text').format(0, 3, { bold: true })
  doc.getText('text').insertEmbed(0, { image: who })
  doc.getArray('array').push([who, 1, 2.5, null, true, { nested: [who] }, new Uint8Array([1, 2, 255])])
  const inner = new Y.Map()
  doc.getMap('map').set(who, inner)
  inner.set('list', Y.Array.from([1, 2, 3]))
  inner.set('child', new Y.Doc({ guid: `sub-${who}` }))
  const p = new Y.XmlElement('p')
  p.setAttribute('by', who)
  doc.getXmlFragment('xml').push([p])
  p.insert(0, [new Y.XmlText(`para of ${who}`)])
  doc.getText('text').delete(2, 3)
  doc.getArray('array').delete(1, 1)
}

for (const [version, Provider] of Object.entries(versions)) {
  test(`y-websocket ${version}: all types converge, also for a late comer`, async () => {
    const name = fresh('types')
    const a = connect(Provider, name)
    const b = connect(newest, name)
    const c = connect(Provider, name)
    await synced(a, b, c)
    for (const [i, p] of [a, b, c].entries()) fill(p.doc, `peer${i}`)
    await until('three peers agree', () => converged(a, b, c) && a.doc.getMap('map').size === 3)
    const late = connect(Provider, name)
    await synced(late)
    await until('the late comer agrees', () => converged(a, late))
    for (const p of [b, c, late]) assert.deepEqual(content(p.doc), content(a.doc))
    const guids = [...late.doc.subdocs].map(d => d.guid).sort()
    assert.deepEqual(guids, ['sub-peer0', 'sub-peer1', 'sub-peer2'])
    close(a, b, c, late)
  })

  test(`y-websocket ${version}: awareness appears, changes and vanishes`, async () => {
    const name = fresh('aware')
    const a = connect(Provider, name)
    const b = connect(Provider, name)
    await synced(a, b)
    a.provider.awareness.setLocalStateField('user', { name: 'Ada' })
    const seen = () => b.provider.awareness.getStates().get(a.doc.clientID)?.user?.name
    await until('b sees Ada', () => seen() === 'Ada')
    a.provider.awareness.setLocalStateField('user', { name: 'Ada L.' })
    await until('b sees the new name', () => seen() === 'Ada L.')
    const late = connect(Provider, name)
    await until('a late comer sees Ada', () => late.provider.awareness.getStates().get(a.doc.clientID)?.user?.name === 'Ada L.')
    // A cut without goodbye: the socket just ends.
    a.provider.shouldConnect = false
    a.provider.ws.terminate()
    await until('Ada is gone for b', () => seen() === undefined, 35_000)
    a.provider.connect()
    await until('Ada is back within seconds', () => seen() === 'Ada L.', 8_000)
    close(a, b, late)
  })

  test(`y-websocket ${version}: edits made offline on both sides meet on reconnect`, async () => {
    const name = fresh('offline')
    const a = connect(Provider, name)
    const b = connect(Provider, name)
    await synced(a, b)
    a.doc.getText('text').insert(0, 'common ground')
    await until('b has it', () => converged(a, b) && b.doc.getText('text').length === 13)
    b.provider.disconnect()
    a.doc.getText('text').insert(6, ' and solid')
    b.doc.getText('text').delete(0, 3)
    b.doc.getText('text').insert(b.doc.getText('text').length, '!')
    b.provider.connect()
    await until('both agree', () => converged(a, b) && a.doc.getText('text').toString() === 'mon and solid ground!')
    close(a, b)
  })

  test(`y-websocket ${version}: 102 is echoed as sent`, async () => {
    const a = connect(Provider, fresh('ack'))
    await synced(a)
    a.doc.getText('text').insert(0, 'keep me')
    assert.deepEqual(await acknowledged(a, 7), [7])
    close(a)
  })
}

test('@y/websocket 4 with Yjs 14 and y-websocket 3 with Yjs 13 edit one document', async () => {
  const name = fresh('v14')
  const old = connect(newest, name)
  const young = connect14(name)
  await synced(old)
  old.doc.getText('text').insert(0, 'thirteen ')
  await until('14 has the text of 13', () => young.doc.get('text').toString() === 'thirteen ')
  young.doc.get('text').insert(9, 'fourteen')
  await until('13 has the text of 14', () => old.doc.getText('text').toString() === 'thirteen fourteen')
  close(old)
  young.provider.destroy()
})

test('names with slashes, spaces and other scripts are documents of their own', async () => {
  const base = fresh('names')
  const names = [base, `${base}/a/b`, `${base}/a%2Fb%20c`, `${base}/日本`]
  const peers = names.map(n => connect(newest, n))
  await synced(...peers)
  peers.forEach((p, i) => p.doc.getText('text').insert(0, names[i]))
  const again = names.map(n => connect(newest, n))
  await until('each name has its own text', () => again.every((p, i) => p.doc.getText('text').toString() === names[i]))
  close(...peers, ...again)
})

for (const [label, megabytes] of [['1 MB', 1], ['20 MB', 20]]) {
  test(`a document of ${label} made by one is had by all`, async () => {
    const name = fresh('big')
    const doc = new Y.Doc()
    const text = doc.getText('text')
    const line = 'The quick brown fox jumps over the lazy dog and the émigré 🦊. '.repeat(64)
    while (text.length < megabytes * 1e6) text.insert(text.length, line)
    doc.getMap('map').set('done', true)
    const a = connect(newest, name, { doc })
    await synced(a)
    await acknowledged(a, 1)
    const b = connect(newest, name)
    await until('the second has it', () => b.provider.synced && converged(a, b), 60_000)
    assert.equal(b.doc.getText('text').length, text.length)
    assert.equal(b.doc.getMap('map').get('done'), true)
    b.doc.getText('text').insert(0, 'live ')
    await until('live edits pass', () => a.doc.getText('text').toString().startsWith('live '))
    close(a, b)
  })
}
