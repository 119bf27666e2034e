//! Instructions of the kernel's virtual machine (Documentation/bpf/standardization/instruction-set.rst), as far as the programs of
//! this crate need them.

/// A register. `R1` to `R5` carry arguments and are lost in a call, `R6` to `R9` are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Register {
    /// Result.
    R0,
    /// First argument; at the start, the context.
    R1,
    /// Second argument.
    R2,
    /// Third argument.
    R3,
    /// Fourth argument.
    R4,
    /// Kept in calls.
    R6 = 6,
    /// Kept in calls.
    R7 = 7,
    /// The end of the stack of 512 bytes.
    R10 = 10,
}

/// Functions of the kernel by their number in `linux/bpf.h`.
#[derive(Debug, Clone, Copy)]
#[repr(i32)]
pub enum Helper {
    /// `bpf_map_lookup_elem`
    MapLookup = 1,
    /// `bpf_map_update_elem`
    MapUpdate = 2,
    /// `bpf_map_delete_elem`
    MapDelete = 3,
    /// `bpf_get_socket_cookie`
    SocketCookie = 46,
    /// `bpf_sk_release`
    SocketRelease = 86,
    /// `bpf_get_netns_cookie`
    NamespaceCookie = 122,
    /// `bpf_sk_assign`
    SocketAssign = 124,
    /// `bpf_ringbuf_output`
    RingOutput = 130,
}

/// Bytes of a load or store.
#[derive(Debug, Clone, Copy)]
#[repr(u8)]
pub enum Size {
    /// One.
    Byte = 0x10,
    /// Four.
    Word = 0x00,
    /// Eight.
    Double = 0x18,
}

const LOAD: u8 = 0x61;
const STORE: u8 = 0x63;
const STORE_IMMEDIATE: u8 = 0x62;
const MOVE: u8 = 0xbf;
const MOVE_IMMEDIATE: u8 = 0xb7;
const ADD: u8 = 0x0f;
const ADD_IMMEDIATE: u8 = 0x07;
const AND: u8 = 0x5f;
const AND_IMMEDIATE: u8 = 0x57;
const SHIFT_LEFT: u8 = 0x6f;
const CALL: u8 = 0x85;
const EXIT: u8 = 0x95;
const LOAD_WIDE: u8 = 0x18;
/// Of [`LOAD_WIDE`]: the number is a map's descriptor.
const MAP_DESCRIPTOR: u8 = 1;
/// Of the lower 32 bits.
const JUMP_IF_EQUAL: u8 = 0x16;
const JUMP_IF_NOT_EQUAL: u8 = 0x56;
const JUMP_IF_NULL: u8 = 0x15;
const JUMP_UNLESS_SAME: u8 = 0x5d;

/// A place in a program that jumps lead to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Label(usize);

/// A program in the making.
#[derive(Debug, Default)]
pub struct Code {
    words: Vec<u64>,
    labels: Vec<Option<usize>>,
    jumps: Vec<(usize, Label)>,
}

impl Code {
    /// Of a length that fits the 16 bits of a jump.
    fn push(&mut self, code: u8, to: Register, from: u8, offset: i16, immediate: i32) {
        let registers = from << 4 | to as u8;
        let [low, high] = offset.to_ne_bytes();
        let [a, b, c, d] = immediate.to_ne_bytes();
        self.words.push(u64::from_ne_bytes([code, registers, low, high, a, b, c, d]));
    }

    /// A place that is given later, by [`Self::here`].
    pub fn label(&mut self) -> Label {
        self.labels.push(None);
        Label(self.labels.len() - 1)
    }

    /// The label is the next instruction.
    pub fn here(&mut self, label: Label) {
        self.labels[label.0] = Some(self.words.len());
    }

    /// `to = *(from + offset)`
    pub fn load(&mut self, size: Size, to: Register, from: Register, offset: i16) {
        self.push(LOAD | size as u8, to, from as u8, offset, 0);
    }

    /// `*(to + offset) = from`
    pub fn store(&mut self, size: Size, to: Register, offset: i16, from: Register) {
        self.push(STORE | size as u8, to, from as u8, offset, 0);
    }

    /// `*(to + offset) = value`
    pub fn store_value(&mut self, size: Size, to: Register, offset: i16, value: i32) {
        self.push(STORE_IMMEDIATE | size as u8, to, 0, offset, value);
    }

    /// `to = from`
    pub fn set(&mut self, to: Register, from: Register) {
        self.push(MOVE, to, from as u8, 0, 0);
    }

    /// `to = value`
    pub fn set_value(&mut self, to: Register, value: i32) {
        self.push(MOVE_IMMEDIATE, to, 0, 0, value);
    }

    /// `to = address of offset on the stack`
    pub fn set_stack(&mut self, to: Register, offset: i16) {
        self.set(to, Register::R10);
        self.add_value(to, offset.into());
    }

    /// `to = the map`
    pub fn set_map(&mut self, to: Register, map: i32) {
        self.push(LOAD_WIDE, to, MAP_DESCRIPTOR, 0, map);
        self.words.push(0);
    }

    /// `to = 64 bits`
    pub fn set_wide(&mut self, to: Register, value: u64) {
        let [a, b, c, d, e, f, g, h] = value.to_le_bytes();
        self.push(LOAD_WIDE, to, 0, 0, i32::from_le_bytes([a, b, c, d]));
        self.words.push(
            u64::from(u32::from_le_bytes([e, f, g, h]))
                << if cfg!(target_endian = "little") { 32 } else { 0 },
        );
    }

    /// `to += from`
    pub fn add(&mut self, to: Register, from: Register) {
        self.push(ADD, to, from as u8, 0, 0);
    }

    /// `to += value`
    pub fn add_value(&mut self, to: Register, value: i32) {
        self.push(ADD_IMMEDIATE, to, 0, 0, value);
    }

    /// `to &= from`
    pub fn and(&mut self, to: Register, from: Register) {
        self.push(AND, to, from as u8, 0, 0);
    }

    /// `to &= value`
    pub fn and_value(&mut self, to: Register, value: i32) {
        self.push(AND_IMMEDIATE, to, 0, 0, value);
    }

    /// `to <<= from`
    pub fn shift_left(&mut self, to: Register, from: Register) {
        self.push(SHIFT_LEFT, to, from as u8, 0, 0);
    }

    /// Goes on at the label if the lower 32 bits are `value`.
    pub fn jump_if(&mut self, register: Register, value: i32, label: Label) {
        self.jump(JUMP_IF_EQUAL, register, value, label);
    }

    /// Goes on at the label unless the lower 32 bits are `value`.
    pub fn jump_unless(&mut self, register: Register, value: i32, label: Label) {
        self.jump(JUMP_IF_NOT_EQUAL, register, value, label);
    }

    /// Goes on at the label unless all 64 bits of both are the same.
    pub fn jump_unless_same(&mut self, register: Register, other: Register, label: Label) {
        self.jumps.push((self.words.len(), label));
        self.push(JUMP_UNLESS_SAME, register, other as u8, 0, 0);
    }

    /// Goes on at the label if it is no pointer, or zero.
    pub fn jump_if_null(&mut self, register: Register, label: Label) {
        self.jump(JUMP_IF_NULL, register, 0, label);
    }

    fn jump(&mut self, code: u8, register: Register, value: i32, label: Label) {
        self.jumps.push((self.words.len(), label));
        self.push(code, register, 0, 0, value);
    }

    /// `R0 = helper(R1, …)`
    pub fn call(&mut self, helper: Helper) {
        self.push(CALL, Register::R0, 0, 0, helper as i32);
    }

    /// Ends with `value`.
    pub fn exit(&mut self, value: i32) {
        self.set_value(Register::R0, value);
        self.push(EXIT, Register::R0, 0, 0, 0);
    }

    /// The program, with its jumps led to their labels.
    ///
    /// # Panics
    /// When a label was never placed, or lies 32768 instructions away: the programs are constant, their tests would meet it.
    #[must_use]
    pub fn finish(mut self) -> Vec<u64> {
        for (at, label) in self.jumps {
            let target = self.labels[label.0].expect("each label is placed");
            let distance =
                isize::try_from(target).unwrap_or(isize::MAX) - isize::try_from(at + 1).unwrap_or(0);
            let [low, high] = i16::try_from(distance).expect("programs are short").to_ne_bytes();
            let mut bytes = self.words[at].to_ne_bytes();
            bytes[2..4].copy_from_slice(&[low, high]);
            self.words[at] = u64::from_ne_bytes(bytes);
        }
        self.words
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jumps_lead_to_their_labels() {
        let mut code = Code::default();
        let end = code.label();
        code.jump_if(Register::R1, 7, end);
        code.set_map(Register::R2, 5);
        code.here(end);
        code.exit(1);
        let words = code.finish();
        let bytes: Vec<[u8; 8]> = words.iter().map(|word| word.to_ne_bytes()).collect();
        assert_eq!(
            bytes,
            [
                [0x16, 1, 2, 0, 7, 0, 0, 0],
                [0x18, 0x12, 0, 0, 5, 0, 0, 0],
                [0; 8],
                [0xb7, 0, 0, 0, 1, 0, 0, 0],
                [0x95, 0, 0, 0, 0, 0, 0, 0]
            ]
        );
    }
}
