// SPDX-License-Identifier: Apache-2.0
// tests/unwind/targets/busy.rs - Rust code that is hard to unwind, for ever.
// Panics that are caught deep down, closures below sort, threads, collections, formatting.
use std::collections::{BTreeMap, HashMap};
use std::panic;
use std::thread;

#[inline(never)]
fn panics(depth: u32) -> u32 {
    let kept = format!("a string of depth {}", depth);
    if depth == 0 {
        panic!("at the bottom");
    }
    panics(depth - 1) + kept.len() as u32
}

#[inline(never)]
fn sorts(seed: u64) -> u64 {
    let mut words: Vec<String> = (0..60).map(|i| format!("{:x}", (seed ^ i).wrapping_mul(0x9e3779b97f4a7c15))).collect();
    words.sort_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
    words.iter().map(|w| w.len() as u64).sum()
}

#[inline(never)]
fn collects(seed: u64) -> usize {
    let mut tree = BTreeMap::new();
    let mut table: HashMap<String, Vec<u64>> = HashMap::new();
    for i in 0..80u64 {
        *tree.entry((seed * i) % 13).or_insert(0u64) += i;
        table.entry(format!("{}", i % 7)).or_default().push(i);
    }
    tree.len() + table.values().map(|v| v.len()).sum::<usize>()
}

fn busy(mut seed: u64) {
    loop {
        seed = seed.wrapping_add(sorts(seed));
        seed = seed.wrapping_add(collects(seed) as u64);
        let caught = panic::catch_unwind(|| panics((seed % 20) as u32));
        assert!(caught.is_err());
    }
}

fn main() {
    panic::set_hook(Box::new(|_| {}));
    thread::spawn(|| busy(1));
    busy(2);
}
