/* SPDX-License-Identifier: Apache-2.0 */
/* tests/browser/drive_workload.mjs URL - a person at the workload analyzer: two runs, their flame
 * graphs, and what is different. Prints what was seen as JSON.
 * Knows: the page's fields. Does not know: the server. Started by tests/python/test_workload_analyzer.py. */
import { existsSync } from 'node:fs';
import { chromium } from 'playwright-core';

const executable = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'].find(existsSync);
if (!executable)
	process.exit(77);
const browser = await chromium.launch({ executablePath: executable, args: ['--no-sandbox', '--disable-gpu'] });
const page = await browser.newPage();
const problems = [], seen = { problems };
page.on('pageerror', (e) => problems.push(e.message));
page.on('console', (m) => m.type() === 'error' && problems.push(m.text()));

const report = async (part) => {
	await page.waitForFunction((text) => document.getElementById('page').contentWindow.location.pathname.includes(text), part);
	const frame = await (await page.$('#page')).contentFrame();
	await frame.waitForLoadState();
	return frame.title();
};

try {
	await page.goto(process.argv[2]);
	for (const batch of ['0', '100']) {
		await page.fill('[name=count]', '3000');
		await page.fill('[name=batch]', batch);
		const before = await page.locator('#runs tr').count();
		await page.click('#bulk button');
		await page.waitForFunction((n) => document.querySelectorAll('#runs tr').length > n, before, { timeout: 60000 });
	}
	seen.state = await page.textContent('#state');
	seen.flamegraph = await report('/flamegraphs/bulk_');
	await page.check('[aria-label^="base"] >> nth=1');
	await page.check('[aria-label^="new"] >> nth=0');
	await page.click('#compare button');
	seen.compare = await report('/compare/bulk_');
	await page.fill('[name=rounds]', '0');
	await page.evaluate(() => { document.getElementById('query').noValidate = true; });
	problems.length = 0;
	await page.click('#query button');
	await page.waitForFunction(() => document.getElementById('state').textContent.includes('rounds:'));
	seen.refused = await page.textContent('#state');
	problems.splice(0, problems.length, ...problems.filter((p) => !p.includes('400')));
} finally {
	await browser.close();
}
console.log(JSON.stringify(seen));
process.exit(0);
