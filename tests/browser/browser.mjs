/* SPDX-License-Identifier: Apache-2.0 */
/* tests/browser/browser.mjs - one browser, pages of made-up reports, and lines of TAP.
 * Knows: playwright-core, chromium, tests/browser/gen. Does not know: what is tested. */
import { spawnSync } from 'node:child_process';
import { closeSync, existsSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, isAbsolute, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { chromium } from 'playwright-core';

const ROOT = join(dirname(fileURLToPath(import.meta.url)), '..', '..');
const BUILD = process.env.O || 'build';
const OUT = isAbsolute(BUILD) ? BUILD : join(ROOT, BUILD);
const GEN = process.env.GEN || join(OUT, 'tests/browser/gen');
const MEMTRACE = process.env.MEMTRACE || join(OUT, 'memtrace');
const FOLDER = mkdtempSync(join(tmpdir(), 'memtrace-browser-'));
const made = new Map();

/* The page of a kind, and what C says it holds. */
export function made_page(kind, nodes) {
	const name = `${kind}${nodes || ''}`;
	if (!made.has(name)) {
		const path = join(FOLDER, `${name}.html`), out = openSync(path, 'w');
		const run = spawnSync(GEN, nodes ? [kind, String(nodes)] : [kind],
			{ stdio: ['ignore', out, 'pipe'], maxBuffer: 1 << 28 });
		closeSync(out);
		if (run.error || run.status)
			throw new Error(`${GEN} ${name}: ${run.error || run.stderr}`);
		made.set(name, { path, url: `file://${path}`, expected: JSON.parse(run.stderr) });
	}
	return made.get(name);
}

/* Runs memtrace in the tests' folder; its standard output. */
export function memtrace(...args) {
	const run = spawnSync(MEMTRACE, args, { cwd: FOLDER, encoding: 'utf8', maxBuffer: 1 << 28 });
	if (run.error || run.status)
		throw new Error(`memtrace ${args.join(' ')}: ${run.error || run.stderr}`);
	return run.stdout;
}

export const in_folder = (name) => join(FOLDER, name);

const tests = [];

export function test(name, run) {
	tests.push({ name, run });
}

let browser;
let opened = [];

/* A page of its own; everything it complains about or asks for is kept. One that is `foreign` may complain
 * as it likes. */
export async function open(file, options = {}, hash = '') {
	const { javaScriptEnabled = true, foreign = false, ...rest } = options;
	const context = await browser.newContext({ viewport: { width: 1600, height: 900 }, javaScriptEnabled, ...rest });
	const page = await context.newPage();
	const log = page.log = [];
	page.requests = [];
	page.on('console', (m) => {
		/* The tests read pixels back; the page never does. */
		if (!foreign && (m.type() === 'error' || m.type() === 'warning') && !m.text().includes('willReadFrequently'))
			log.push(`${m.type()}: ${m.text()}`);
	});
	page.on('pageerror', (e) => log.push(`exception: ${e.message}`));
	page.on('request', (r) => page.requests.push(r.url().slice(0, 100)));
	if (javaScriptEnabled)
		await page.addInitScript(() => {
			window.violations = [];
			document.addEventListener('securitypolicyviolation', (e) => window.violations.push(e.violatedDirective));
		});
	opened.push({ context, page, javaScriptEnabled });
	await page.goto(file.url + hash);
	if (javaScriptEnabled && !foreign)
		await page.waitForFunction(() => document.documentElement.dataset.ready || document.documentElement.dataset.failed ||
			document.readyState === 'complete' && !document.querySelector('script'));
	return page;
}

/* What axe-core finds on a page, which is opened with bypassCSP: its policy allows no script but its
 * own. */
export async function axe_complaints(page, options = {}) {
	const source = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
	await page.evaluate((text) => (0, eval)(text), source);
	const { violations } = await page.evaluate((o) => window.axe.run(document, o), options);
	return violations.map((v) => `${v.id}: ${v.nodes.map((n) => n.html.slice(0, 200)).join(' | ')}`);
}

/* Whatever a test does: no errors, no violations, no requests. */
async function close_all(name) {
	for (const { context, page, javaScriptEnabled } of opened) {
		const problems = [...page.log];
		if (javaScriptEnabled && !page.isClosed())
			for (const v of await page.evaluate(() => window.violations))
				problems.push(`CSP violation: ${v}`);
		for (const url of page.requests)
			if (!url.startsWith('file://') && !url.startsWith('data:'))
				problems.push(`request: ${url}`);
		await context.close();
		if (problems.length)
			throw new Error(`${name}: ${problems.join('; ')}`);
	}
}

/* `graphics`: what the browser is told of the graphics card. */
export async function main(graphics = ['--disable-gpu']) {
	const executable = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'].find(existsSync);
	if (!executable) {
		console.log('# no chromium is installed');
		process.exit(77);
	}
	browser = await chromium.launch({ executablePath: executable, args: ['--no-sandbox', ...graphics] });
	const wanted = process.argv.slice(2), counts = { ok: 0, bad: 0 };
	for (const { name, run } of tests) {
		if (wanted.length && !wanted.some((w) => name.includes(w)))
			continue;
		opened = [];
		let problem;
		try {
			await run();
		} catch (error) {
			problem = error;
		}
		try {
			await close_all(name);
		} catch (error) {
			problem = problem || error;
		}
		const number = counts.ok + counts.bad + 1;
		console.log(`${problem ? 'not ok' : 'ok'} ${number} - ${name}`);
		if (problem)
			console.log(String(problem.stack || problem).replace(/^/gm, '# '));
		counts[problem ? 'bad' : 'ok']++;
	}
	await browser.close();
	rmSync(FOLDER, { recursive: true });
	console.log(`1..${counts.ok + counts.bad}`);
	console.log(`${counts.ok} passed, ${counts.bad} failed`);
	process.exit(counts.bad || !counts.ok ? 1 : 0);
}
