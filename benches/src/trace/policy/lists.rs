//! Queues of objects: an object is in at most one of them.

/// Some queues, each with its bytes.
#[derive(Debug)]
pub(super) struct Lists<const COUNT: usize> {
    nodes: Vec<Node>,
    ends: [Ends; COUNT],
}

/// One object's place.
#[derive(Debug, Clone, Copy)]
struct Node {
    list: u8,
    newer: u32,
    older: u32,
    bytes: u64,
}

#[derive(Debug, Clone, Copy)]
struct Ends {
    newest: u32,
    oldest: u32,
    bytes: u64,
}

impl<const COUNT: usize> Lists<COUNT> {
    /// All empty.
    pub(super) fn new() -> Self {
        let empty = Ends { newest: NONE, oldest: NONE, bytes: 0 };
        Self { nodes: Vec::new(), ends: [empty; COUNT] }
    }

    /// The number of the queue that the object is in.
    pub(super) fn of(&self, object: u32) -> Option<usize> {
        let node = self.nodes.get(object as usize)?;
        (node.list != OUT).then_some(node.list as usize)
    }

    /// Bytes of the objects in a queue.
    pub(super) fn bytes(&self, list: usize) -> u64 {
        self.ends[list].bytes
    }

    /// Puts an object that is in no queue at the new end of one.
    pub(super) fn push(&mut self, list: usize, object: u32, bytes: u64) {
        let index = object as usize;
        if self.nodes.len() <= index {
            let out = Node { list: OUT, newer: NONE, older: NONE, bytes: 0 };
            self.nodes.resize(index + 1, out);
        }
        let ends = &mut self.ends[list];
        self.nodes[index] = Node { list: list as u8, newer: NONE, older: ends.newest, bytes };
        match ends.newest {
            NONE => ends.oldest = object,
            newest => self.nodes[newest as usize].newer = object,
        }
        ends.newest = object;
        ends.bytes += bytes;
    }

    /// The object at the old end.
    pub(super) fn oldest(&self, list: usize) -> Option<u32> {
        let oldest = self.ends[list].oldest;
        (oldest != NONE).then_some(oldest)
    }

    /// Takes an object out of its queue; returns its bytes, 0 if it was in none.
    pub(super) fn remove(&mut self, object: u32) -> u64 {
        let Some(list) = self.of(object) else { return 0 };
        let Node { newer, older, bytes, .. } = self.nodes[object as usize];
        let ends = &mut self.ends[list];
        match newer {
            NONE => ends.newest = older,
            newer => self.nodes[newer as usize].older = older,
        }
        match older {
            NONE => ends.oldest = newer,
            older => self.nodes[older as usize].newer = newer,
        }
        ends.bytes -= bytes;
        self.nodes[object as usize].list = OUT;
        bytes
    }
}

const NONE: u32 = u32::MAX;
const OUT: u8 = u8::MAX;
