// Clients whose sockets offer permessage-deflate, as ws and browsers do.
import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { test } from 'node:test'
import WebSocket from 'ws'
import { acknowledged, close, connect, converged, synced, until, versions } from './peers.mjs'

// A socket that compresses all that it sends, and one that offers nothing.
class Compressing extends WebSocket {
  constructor (url, protocols) {
    super(url, protocols, { perMessageDeflate: { threshold: 0 } })
  }
}
class Plain extends WebSocket {
  constructor (url, protocols) {
    super(url, protocols, { perMessageDeflate: false })
  }
}

for (const [version, Provider] of Object.entries(versions)) {
  test(`y-websocket ${version}: compressed and plain sockets edit one document`, async () => {
    const name = `deflate-${randomUUID()}`
    const a = connect(Provider, name, { WebSocketPolyfill: Compressing })
    const b = connect(Provider, name, { WebSocketPolyfill: Compressing })
    const c = connect(Provider, name, { WebSocketPolyfill: Plain })
    await synced(a, b, c)
    assert.match(a.provider.ws.extensions, /permessage-deflate/)
    assert.equal(c.provider.ws.extensions, '')
    a.doc.getText('text').insert(0, 'small')
    b.doc.getText('text').insert(0, 'a paragraph that is told again and again. '.repeat(500))
    c.doc.getText('text').insert(0, 'a large one, in several parts: '.repeat(60_000))
    await until('all agree', () => converged(a, b, c) && a.doc.getText('text').length > 1_800_000, 60_000)
    a.provider.awareness.setLocalStateField('user', { name: 'Ada', about: 'x'.repeat(2_000) })
    await until('both see Ada', () => [b, c].every(p => p.provider.awareness.getStates().get(a.doc.clientID)?.user?.name === 'Ada'))
    assert.deepEqual(await acknowledged(a, 7), [7])
    const late = connect(Provider, name, { WebSocketPolyfill: Compressing })
    await synced(late)
    await until('the late comer agrees', () => converged(a, late))
    close(a, b, c, late)
  })
}
