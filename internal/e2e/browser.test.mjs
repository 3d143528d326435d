// The start page in a real browser: three pages on one document.
import assert from 'node:assert/strict'
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { chromium } from 'playwright-core'

const server = process.env.YSYNC_URL.replace(/^ws/, 'http')
const shots = process.env.YSYNC_SCREENSHOTS
let browser

before(async () => {
  browser = await chromium.launch({
    executablePath: process.env.YSYNC_CHROMIUM,
    args: ['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'],
  })
  if (shots) await mkdir(shots, { recursive: true })
})
after(() => browser?.close())

const open = async (name, who) => {
  // A context of its own: another browser, with no channel to the others but the server.
  const context = await browser.newContext({ viewport: { width: 1000, height: 760 } })
  const page = await context.newPage()
  const problems = []
  page.on('console', m => { if (m.type() === 'error' && !/WebSocket connection/.test(m.text())) problems.push(m.text()) })
  page.on('pageerror', e => problems.push(String(e)))
  await page.goto(`${server}/#${name}`)
  await page.locator('#status[data-state=connected]').waitFor()
  await page.fill('#me', who)
  return { page, problems, text: () => page.locator('.ProseMirror').evaluate(caretFree) }
}

// The text without the carets of others.
const caretFree = el => {
  const copy = el.cloneNode(true)
  copy.querySelectorAll('.caret').forEach(c => c.remove())
  return [...copy.children].map(c => c.textContent.replaceAll('\u2060', '')).join('\n')
}

const until = async (what, check) => {
  const deadline = Date.now() + 15_000
  let last
  for (;;) {
    last = await check()
    if (last === true) return
    if (Date.now() > deadline) throw new Error(`gave up waiting until ${what}; last: ${JSON.stringify(last)}`)
    await new Promise(resolve => setTimeout(resolve, 50))
  }
}

const shot = async (peer, name) => { if (shots) await peer.page.screenshot({ path: join(shots, `${name}.png`) }) }

const agree = (peers, want) => until(`all show ${JSON.stringify(want)}`, async () => {
  const texts = await Promise.all(peers.map(p => p.text()))
  return texts.every(t => t === want) || texts
})

// Puts the cursor at the end of a paragraph (counted from 0), or of the text.
const goTo = async (peer, paragraph) => {
  const blocks = peer.page.locator('.ProseMirror > *')
  await (paragraph === undefined ? blocks.last() : blocks.nth(paragraph)).click()
  await peer.page.keyboard.press(paragraph === undefined ? 'Control+End' : 'End')
}

// About as fast as a fast typist.
const keys = (peer, text) => peer.page.keyboard.type(text, { delay: 15 })

const type = async (peer, text) => {
  await goTo(peer)
  await keys(peer, text)
}

test('three pages type at once, one goes offline and returns, all converge', async () => {
  const name = `page-${Date.now()}`
  const peers = [await open(name, 'Ada Byron'), await open(name, 'Grace Hopper'), await open(name, 'Alan Turing')]
  const [ada, grace, alan] = peers

  await type(ada, 'Trip to Lisbon')
  await ada.page.keyboard.press('Enter')
  await agree(peers, 'Trip to Lisbon\n')
  await ada.page.locator('#saved[data-state=saved]').waitFor()

  // At once, each in a paragraph of its own. (All at one spot, faster than
  // people type, ProseMirror itself reads the others' letters back from the DOM
  // as its own, whatever the server.)
  await type(ada, 'A: ')
  await ada.page.keyboard.press('Enter')
  await type(ada, 'G: ')
  await ada.page.keyboard.press('Enter')
  await type(ada, 'T: ')
  await agree(peers, 'Trip to Lisbon\nA: \nG: \nT: ')
  for (const [i, peer] of peers.entries()) await goTo(peer, i + 1)
  await Promise.all([keys(ada, 'a'.repeat(20)), keys(grace, 'g'.repeat(20)), keys(alan, 't'.repeat(20))])
  await agree(peers, `Trip to Lisbon\nA: ${'a'.repeat(20)}\nG: ${'g'.repeat(20)}\nT: ${'t'.repeat(20)}`)

  // Cursors and names.
  await until('ada sees two carets with names', async () => {
    const labels = await ada.page.locator('.caret > span').allTextContents()
    return JSON.stringify(labels.sort()) === JSON.stringify(['Alan Turing', 'Grace Hopper']) || labels
  })
  await until('three people are here', async () => (await ada.page.locator('#people li').count()) === 3)
  await shot(ada, 'three-together')

  // Offline and back.
  const before = await grace.text()
  await alan.page.locator('.switch').click()
  await alan.page.locator('#status[data-state=offline]').waitFor()
  await type(alan, ' written on a plane')
  await alan.page.locator('#saved[data-state=kept]').waitFor()
  await shot(alan, 'offline')
  await until('alan is gone from the others', async () => (await grace.page.locator('#people li').count()) === 2)
  assert.equal(await grace.text(), before)
  await ada.page.locator('.ProseMirror').click()
  await ada.page.keyboard.press('Control+Home')
  await ada.page.keyboard.type('Our ')
  await alan.page.locator('.switch').click()
  await until('all agree again', async () => {
    const texts = await Promise.all(peers.map(p => p.text()))
    return (texts.every(t => t === texts[0]) && texts[0].startsWith('Our Trip') && texts[0].includes(' written on a plane')) || texts
  })
  await alan.page.locator('#saved[data-state=saved]').waitFor()
  await until('alan is back', async () => (await grace.page.locator('#people li').count()) === 3)

  // Formatting travels.
  await grace.page.locator('.ProseMirror').click()
  await grace.page.keyboard.press('Control+Home')
  await grace.page.locator('[data-do=h1]').click()
  await until('the heading is everywhere', async () => (await alan.page.locator('.ProseMirror h1').count()) === 1)

  // A reload shows the same text.
  const text = await ada.text()
  await ada.page.reload()
  await ada.page.locator('#status[data-state=connected]').waitFor()
  await until('the reload shows the same text', async () => (await ada.text()) === text)

  // A closed window takes its cursor and name with it.
  await alan.page.close()
  await until('alan is gone', async () => (await grace.page.locator('#people li').count()) === 2)
  await until('his caret too', async () => !(await grace.page.locator('.caret > span').allTextContents()).includes('Alan Turing'))
  await shot(grace, 'after-reload')

  for (const p of peers) assert.deepEqual(p.problems, [])
})
