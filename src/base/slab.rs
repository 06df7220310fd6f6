//! A bounded table with stable indexes and generations: a stale handle finds nothing.

/// A handle into a [`Slab`]: index and generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Handle {
    /// Position in the slab.
    pub index: u32,
    /// How often the position had been freed when this handle was given out.
    pub generation: u32,
}

impl Handle {
    /// The handle as one number, for the user data of a ring or a hop.
    pub fn to_bits(self) -> u64 {
        u64::from(self.generation) << 32 | u64::from(self.index)
    }

    /// The handle of a number made by [`Handle::to_bits`].
    pub fn from_bits(bits: u64) -> Handle {
        let index = u32::try_from(bits & 0xffff_ffff).expect("masked to 32 bits");
        let generation = u32::try_from(bits >> 32).expect("shifted to 32 bits");
        Handle { index, generation }
    }
}

#[derive(Debug)]
struct SlabSlot<T> {
    generation: u32,
    value: Option<T>,
}

/// Values of one kind, at most `capacity` of them. Grows on demand up to that bound and never
/// shrinks; allocates only while growing.
#[derive(Debug)]
pub struct Slab<T> {
    slots: Vec<SlabSlot<T>>,
    free: Vec<u32>,
    capacity: usize,
    used: usize,
}

impl<T> Slab<T> {
    /// An empty slab that holds at most `capacity` values.
    pub fn new(capacity: usize) -> Slab<T> {
        assert!(u32::try_from(capacity).is_ok(), "a slab's index has 32 bits");
        Slab { slots: Vec::new(), free: Vec::new(), capacity, used: 0 }
    }

    /// Puts a value in; gives it back where the slab is full.
    ///
    /// # Errors
    /// The value itself, where `capacity` values are in.
    pub fn insert(&mut self, value: T) -> Result<Handle, T> {
        if let Some(index) = self.free.pop() {
            let slot = &mut self.slots[index as usize];
            debug_assert!(slot.value.is_none());
            slot.value = Some(value);
            self.used += 1;
            return Ok(Handle { index, generation: slot.generation });
        }
        if self.slots.len() == self.capacity {
            return Err(value);
        }
        let index = u32::try_from(self.slots.len()).expect("capacity fits in 32 bits");
        self.slots.push(SlabSlot { generation: 0, value: Some(value) });
        self.used += 1;
        Ok(Handle { index, generation: 0 })
    }

    /// The value of a handle, unless it has been removed.
    pub fn get(&self, handle: Handle) -> Option<&T> {
        let slot = self.slots.get(handle.index as usize)?;
        if slot.generation == handle.generation { slot.value.as_ref() } else { None }
    }

    /// The value of a handle, unless it has been removed.
    pub fn get_mut(&mut self, handle: Handle) -> Option<&mut T> {
        let slot = self.slots.get_mut(handle.index as usize)?;
        if slot.generation == handle.generation { slot.value.as_mut() } else { None }
    }

    /// Takes a value out; its handle is stale from now on.
    pub fn remove(&mut self, handle: Handle) -> Option<T> {
        let slot = self.slots.get_mut(handle.index as usize)?;
        if slot.generation != handle.generation {
            return None;
        }
        let value = slot.value.take()?;
        slot.generation = slot.generation.wrapping_add(1);
        self.free.push(handle.index);
        self.used -= 1;
        Some(value)
    }

    /// Values in the slab.
    pub fn len(&self) -> usize {
        self.used
    }

    /// Whether the slab holds nothing.
    pub fn is_empty(&self) -> bool {
        self.used == 0
    }

    /// Handles and values, in the order of their positions.
    pub fn iter(&self) -> impl Iterator<Item = (Handle, &T)> {
        self.slots.iter().enumerate().filter_map(|(index, slot)| {
            let index = u32::try_from(index).expect("capacity fits in 32 bits");
            let handle = Handle { index, generation: slot.generation };
            slot.value.as_ref().map(|value| (handle, value))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stale_handle_finds_nothing_and_the_bound_holds() {
        let mut slab = Slab::new(2);
        let first = slab.insert('a').unwrap();
        let second = slab.insert('b').unwrap();
        assert_eq!(slab.insert('c'), Err('c'));
        assert_eq!(slab.remove(first), Some('a'));
        assert_eq!(slab.remove(first), None);
        let third = slab.insert('d').unwrap();
        assert_eq!(third.index, first.index);
        assert_eq!(slab.get(first), None);
        assert_eq!(slab.get(third), Some(&'d'));
        assert_eq!(slab.get(second), Some(&'b'));
        assert_eq!(Handle::from_bits(third.to_bits()), third);
        assert_eq!(slab.len(), 2);
    }
}
