// Builds the start page into dist/ (or the folder given). The output depends on
// the sources and the lock file alone, so that the committed bundle can be
// compared with a fresh one.
import { build } from 'esbuild'
import { copyFile, mkdir, rm } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const here = dirname(fileURLToPath(import.meta.url))
const out = process.argv[2] ?? join(here, 'dist')

await rm(out, { recursive: true, force: true })
await mkdir(out, { recursive: true })
await build({
  absWorkingDir: here,
  entryPoints: ['src/main.js', 'src/style.css'],
  bundle: true,
  minify: true,
  format: 'esm',
  target: 'es2022',
  charset: 'utf8',
  legalComments: 'none',
  outdir: out,
})
await copyFile(join(here, 'src/index.html'), join(out, 'index.html'))
await copyFile(join(here, 'src/icon.svg'), join(out, 'icon.svg'))
