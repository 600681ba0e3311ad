//! Names of ops, and the table of those that own memory.

use proptest::prelude::*;

use crate::op::{OpKind, OpLink, OpTable, UserData};

fn kind() -> impl Strategy<Value = OpKind> {
    prop_oneof![
        Just(OpKind::Park),
        Just(OpKind::Shutdown),
        Just(OpKind::Close),
        Just(OpKind::Cancel),
        Just(OpKind::Receive),
        Just(OpKind::Send),
        Just(OpKind::Accept),
        Just(OpKind::Install),
        Just(OpKind::Connect),
        Just(OpKind::Watch),
    ]
}

proptest! {
    #[test]
    fn packed_names_come_back(kind in kind(), generation in 0_u32..1 << 24, index: u32) {
        let name = UserData::new(kind, generation, index);
        prop_assert_eq!(UserData::unpack(name.pack()), Some(name));
    }

    #[test]
    fn numbers_of_no_op_are_nobody(low in 0_u64..1 << 56, byte in 11_u64..256) {
        prop_assert_eq!(UserData::unpack(low), None);
        prop_assert_eq!(UserData::unpack(byte << 56 | low), None);
    }

    /// Records are reused, never given out twice, and a slot's list holds exactly its ops.
    #[test]
    fn table_keeps_its_lists(
        steps in proptest::collection::vec((0_u32..6, any::<bool>()), 0..120),
    ) {
        let mut table = OpTable::default();
        let mut firsts = [OpLink::NONE; 6];
        let mut model: Vec<Vec<u32>> = vec![Vec::new(); 6];
        for (slot, adds) in steps {
            let place = slot as usize;
            if adds && model[place].len() < 2 {
                let kind = if model[place].is_empty() { OpKind::Receive } else { OpKind::Send };
                let op = table.allocate(kind, slot, slot);
                prop_assert!(model.iter().flatten().all(|other| *other != op));
                firsts[place] = table.link(firsts[place], op);
                model[place].insert(0, op);
            } else if !adds && !model[place].is_empty() {
                let at = slot as usize % model[place].len();
                let op = model[place].remove(at);
                let header = table.release(op).unwrap();
                prop_assert_eq!(header.owner, slot);
                firsts[place] = table.unlink(firsts[place], op, &header);
                prop_assert!(table.release(op).is_none(), "released twice");
            }
            for (first, ops) in firsts.iter().zip(&model) {
                prop_assert_eq!(&table.list(*first).collect::<Vec<_>>(), ops);
            }
        }
        let found = table.find(OpKind::Receive, 3).count() + table.find(OpKind::Send, 3).count();
        prop_assert_eq!(found, model[3].len());
    }
}
