//! Which connection of the load sits in which slot of the transport: 8 bytes per slot.

use longhold_transport::Token;

/// Owner and generation of every slot that the transport may give out.
pub(crate) struct SlotMap {
    cells: Vec<Cell>,
}

#[derive(Clone, Copy)]
struct Cell {
    owner: u32,
    generation: u32,
}

impl SlotMap {
    /// All slots free.
    pub(crate) fn new(slot_count: u32) -> Self {
        Self { cells: vec![Cell { owner: NOBODY, generation: 0 }; slot_count as usize] }
    }

    /// A slot was given out to connection `owner`; its name from now on. `None` for a slot number
    /// beyond what the transport promised.
    pub(crate) fn open(&mut self, slot: u32, owner: u32) -> Option<Token> {
        let cell = self.cells.get_mut(slot as usize)?;
        cell.owner = owner;
        Some(Token::new(slot, cell.generation))
    }

    /// The connection behind `token`; `None` when it is stale.
    pub(crate) fn owner(&self, token: Token) -> Option<u32> {
        let cell = self.cells.get(token.slot as usize)?;
        let is_current = cell.owner != NOBODY && cell.generation == token.generation;
        is_current.then_some(cell.owner)
    }

    /// The token of whatever is in `slot` now.
    pub(crate) fn token(&self, slot: u32) -> Option<Token> {
        let cell = self.cells.get(slot as usize)?;
        (cell.owner != NOBODY).then(|| Token::new(slot, cell.generation))
    }

    /// The slot is free again; returns who had it.
    pub(crate) fn release(&mut self, token: Token) -> Option<u32> {
        let owner = self.owner(token)?;
        let cell = self.cells.get_mut(token.slot as usize)?;
        *cell = Cell {
            owner: NOBODY,
            generation: cell.generation.wrapping_add(1) & Token::GENERATION_MAX,
        };
        Some(owner)
    }
}

const NOBODY: u32 = u32::MAX;
