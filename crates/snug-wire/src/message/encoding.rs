//! How messages and their parts are written and read, field by field.

use super::{
    Directory, Exec, FailureKind, FromAgent, Limit, MAX_FDS, MAX_REPLY, MAX_REQUEST, Message, Open, Stdio,
    Terminal, TerminalModes, ToAgent, User, WindowSize, Wish,
};
use crate::codec::{DecodeError, Reader, Writer};
use crate::provision::Followed;

macro_rules! byte_enum {
    ($type:ident, $what:literal, $($variant:ident = $number:literal),+ $(,)?) => {
        impl $type {
            fn number(self) -> u8 {
                match self { $(Self::$variant => $number),+ }
            }
            fn from_number(number: u8) -> Result<Self, DecodeError> {
                match number { $($number => Ok(Self::$variant),)+ _ => Err(DecodeError::Invalid($what)) }
            }
        }
    };
}

byte_enum!(
    Stdio,
    "stream",
    Tty = 0,
    Passed = 1,
    Relayed = 2,
    Null = 3,
    Zero = 4,
    Full = 5,
    Random = 6,
    Urandom = 7,
    Closed = 8,
    Incoming = 9,
    Outgoing = 10
);
byte_enum!(
    FailureKind,
    "failure",
    NotFound = 0,
    NotExecutable = 1,
    Directory = 2,
    User = 3,
    Protocol = 4,
    Denied = 5,
    Other = 6
);

byte_enum!(Wish, "wish", Command = 0, Open = 1, Bus = 2);

fn write_size(writer: &mut Writer, size: WindowSize) {
    for value in [size.rows, size.columns, size.x_pixels, size.y_pixels] {
        writer.u16(value);
    }
}

fn read_size(reader: &mut Reader<'_>) -> Result<WindowSize, DecodeError> {
    Ok(WindowSize {
        rows: reader.u16()?,
        columns: reader.u16()?,
        x_pixels: reader.u16()?,
        y_pixels: reader.u16()?,
    })
}

impl Terminal {
    fn write(&self, writer: &mut Writer) {
        write_size(writer, self.size);
        writer.bool(self.modes.is_some());
        if let Some(modes) = &self.modes {
            for value in [modes.input, modes.output, modes.control, modes.local] {
                writer.u32(value);
            }
            writer.buffer.extend_from_slice(&modes.characters);
        }
        writer.bool(self.terminfo.is_some());
        if let Some((name, entry)) = &self.terminfo {
            writer.bytes(name);
            writer.bytes(entry);
        }
        writer.bool(self.relayed);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let size = read_size(reader)?;
        let modes = if reader.bool()? {
            Some(TerminalModes {
                input: reader.u32()?,
                output: reader.u32()?,
                control: reader.u32()?,
                local: reader.u32()?,
                characters: reader.fixed()?,
            })
        } else {
            None
        };
        let terminfo = if reader.bool()? { Some((reader.bytes()?, reader.bytes()?)) } else { None };
        Ok(Self { size, modes, terminfo, relayed: reader.bool()? })
    }
}

impl Directory {
    fn write(&self, writer: &mut Writer) {
        match self {
            Self::Same { path, device, inode, or_home } => {
                writer.u8(0);
                writer.bytes(path);
                writer.u64(*device);
                writer.u64(*inode);
                writer.bool(*or_home);
            }
            Self::Guest(path) => {
                writer.u8(1);
                writer.bytes(path);
            }
            Self::Home => writer.u8(2),
        }
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        match reader.u8()? {
            0 => Ok(Self::Same {
                path: reader.bytes()?,
                device: reader.u64()?,
                inode: reader.u64()?,
                or_home: reader.bool()?,
            }),
            1 => Ok(Self::Guest(reader.bytes()?)),
            2 => Ok(Self::Home),
            _ => Err(DecodeError::Invalid("directory")),
        }
    }
}

impl User {
    fn write(&self, writer: &mut Writer) {
        match self {
            Self::Owner => writer.u8(0),
            Self::Root => writer.u8(1),
            Self::Named(name) => {
                writer.u8(2);
                writer.bytes(name);
            }
        }
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        match reader.u8()? {
            0 => Ok(Self::Owner),
            1 => Ok(Self::Root),
            2 => Ok(Self::Named(reader.bytes()?)),
            _ => Err(DecodeError::Invalid("user")),
        }
    }
}

impl Exec {
    fn write(&self, writer: &mut Writer) {
        writer.u16(self.protocol);
        writer.list(&self.argv);
        writer.list(&self.environment);
        writer.list(&self.overrides);
        writer.bool(self.clean);
        writer.bool(self.login);
        writer.bool(self.early);
        self.user.write(writer);
        self.directory.write(writer);
        for stdio in self.stdio {
            writer.u8(stdio.number());
        }
        writer.bool(self.terminal.is_some());
        if let Some(terminal) = &self.terminal {
            terminal.write(writer);
        }
        writer.u32(self.umask);
        writer.u8(u8::try_from(self.limits.len()).unwrap_or(u8::MAX));
        for limit in self.limits.iter().take(usize::from(u8::MAX)) {
            writer.u8(limit.resource);
            writer.u64(limit.soft);
            writer.u64(limit.hard);
        }
        writer.u64(self.ignored);
        writer.u32(u32::try_from(self.further.len()).unwrap_or(u32::MAX));
        for (number, stdio) in &self.further {
            writer.u32(*number);
            writer.u8(stdio.number());
        }
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let protocol = reader.u16()?;
        let argv = reader.list()?;
        let environment = reader.list()?;
        let overrides = reader.list()?;
        let (clean, login, early) = (reader.bool()?, reader.bool()?, reader.bool()?);
        let user = User::read(reader)?;
        let directory = Directory::read(reader)?;
        let mut stdio = [Stdio::Null; 3];
        for stream in &mut stdio {
            *stream = Stdio::from_number(reader.u8()?)?;
        }
        let terminal = if reader.bool()? { Some(Terminal::read(reader)?) } else { None };
        let umask = reader.u32()?;
        let count = reader.u8()?;
        let mut limits = Vec::with_capacity(usize::from(count));
        for _ in 0..count {
            limits.push(Limit { resource: reader.u8()?, soft: reader.u64()?, hard: reader.u64()? });
        }
        let ignored = reader.u64()?;
        let mut further = Vec::new();
        if reader.remaining() > 0 {
            for _ in 0..reader.u32()? {
                further.push((reader.u32()?, Stdio::from_number(reader.u8()?)?));
            }
        }
        Ok(Self {
            protocol,
            argv,
            environment,
            overrides,
            clean,
            login,
            early,
            user,
            directory,
            stdio,
            terminal,
            umask,
            limits,
            ignored,
            further,
        })
    }
}

impl Followed {
    fn write(&self, writer: &mut Writer) {
        for text in [&self.timezone, &self.resolv_conf] {
            writer.bool(text.is_some());
            writer.bytes(text.as_deref().unwrap_or_default().as_bytes());
        }
        for pairs in [&self.locale, &self.certificates] {
            let words = pairs.iter().flat_map(|(key, value)| [key, value]);
            writer.list(&words.map(|text| text.clone().into_bytes()).collect::<Vec<_>>());
        }
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).map_err(|_| DecodeError::Invalid("text"));
        let mut optional = || -> Result<Option<String>, DecodeError> {
            let is_there = reader.bool()?;
            let value = text(reader.bytes()?)?;
            Ok(is_there.then_some(value))
        };
        let (timezone, resolv_conf) = (optional()?, optional()?);
        let pairs = |reader: &mut Reader<'_>| -> Result<Vec<(String, String)>, DecodeError> {
            let words = reader.list()?.into_iter().map(text).collect::<Result<Vec<_>, _>>()?;
            let (pairs, rest) = words.as_chunks();
            if !rest.is_empty() {
                return Err(DecodeError::Invalid("pairs"));
            }
            Ok(pairs.iter().map(|[key, value]| (key.clone(), value.clone())).collect())
        };
        let locale = pairs(reader)?;
        // A daemon before this field says nothing of it.
        let certificates = if reader.remaining() == 0 { Vec::new() } else { pairs(reader)? };
        Ok(Self { timezone, locale, resolv_conf, certificates })
    }
}

impl Open {
    fn write(&self, writer: &mut Writer) {
        writer.bytes(&self.target);
        writer.bool(self.file.is_some());
        let (device, inode) = self.file.unwrap_or_default();
        writer.u64(device);
        writer.u64(inode);
        writer.list(&self.environment);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let target = reader.bytes()?;
        let is_file = reader.bool()?;
        let file = (reader.u64()?, reader.u64()?);
        Ok(Self { target, file: is_file.then_some(file), environment: reader.list()? })
    }
}

impl Message for ToAgent {
    const MAX_BODY: usize = MAX_REQUEST;

    fn encode(&self) -> (u8, Vec<u8>) {
        let mut writer = Writer::default();
        let kind = match self {
            Self::Fds(numbers) => {
                for number in numbers {
                    writer.u32(*number);
                }
                1
            }
            Self::Exec(exec) => {
                exec.write(&mut writer);
                2
            }
            Self::Attach { token, stream } => {
                writer.buffer.extend_from_slice(token);
                writer.u8(*stream);
                3
            }
            Self::Signal(signal) => {
                writer.u8(*signal);
                4
            }
            Self::Resize(size) => {
                write_size(&mut writer, *size);
                5
            }
            Self::Resume => 6,
            Self::HangUpAll { grace } => {
                writer.u32(*grace);
                7
            }
            Self::Follow(followed) => {
                followed.write(&mut writer);
                8
            }
            Self::Offer => 9,
            Self::Dial(wish) => {
                writer.u8(wish.number());
                10
            }
            Self::Open(open) => {
                open.write(&mut writer);
                11
            }
            Self::JoinBus => 12,
        };
        (kind, writer.buffer)
    }

    fn decode(kind: u8, body: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(body);
        Ok(match kind {
            1 => {
                if body.len() > MAX_FDS * 4 || !body.len().is_multiple_of(4) {
                    return Err(DecodeError::Invalid("descriptor list"));
                }
                let mut numbers = Vec::with_capacity(body.len() / 4);
                while reader.remaining() > 0 {
                    numbers.push(reader.u32()?);
                }
                Self::Fds(numbers)
            }
            2 => Self::Exec(Box::new(Exec::read(&mut reader)?)),
            3 => Self::Attach { token: reader.fixed()?, stream: reader.u8()? },
            4 => Self::Signal(reader.u8()?),
            5 => Self::Resize(read_size(&mut reader)?),
            6 => Self::Resume,
            7 => Self::HangUpAll { grace: reader.u32()? },
            8 => Self::Follow(Followed::read(&mut reader)?),
            9 => Self::Offer,
            10 => Self::Dial(Wish::from_number(reader.u8()?)?),
            11 => Self::Open(Open::read(&mut reader)?),
            12 => Self::JoinBus,
            other => return Err(DecodeError::UnknownType(other)),
        })
    }
}

impl Message for FromAgent {
    const MAX_BODY: usize = MAX_REPLY;

    fn encode(&self) -> (u8, Vec<u8>) {
        let mut writer = Writer::default();
        let kind = match self {
            Self::Hello { protocol, oldest, version, settled, offered } => {
                writer.u16(*protocol);
                writer.u16(*oldest);
                writer.bytes(version);
                writer.bool(*settled);
                writer.bool(*offered);
                128
            }
            Self::Notice(text) => {
                writer.bytes(text);
                129
            }
            Self::Streams { token } => {
                writer.buffer.extend_from_slice(token);
                130
            }
            Self::Pty => 131,
            Self::Started { pid } => {
                writer.u32(*pid);
                132
            }
            Self::Stopped(signal) => {
                writer.u8(*signal);
                133
            }
            Self::Exited(status) => {
                writer.u8(*status);
                134
            }
            Self::Killed { signal, core } => {
                writer.u8(*signal);
                writer.bool(*core);
                135
            }
            Self::Failed { kind, text } => {
                writer.u8(kind.number());
                writer.bytes(text);
                136
            }
            Self::Done => 137,
            Self::Dialled => 138,
        };
        (kind, writer.buffer)
    }

    fn decode(kind: u8, body: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(body);
        Ok(match kind {
            128 => Self::Hello {
                protocol: reader.u16()?,
                oldest: reader.u16()?,
                version: reader.bytes()?,
                settled: reader.bool()?,
                // An agent before this field keeps no offers.
                offered: reader.remaining() > 0 && reader.bool()?,
            },
            129 => Self::Notice(reader.bytes()?),
            130 => Self::Streams { token: reader.fixed()? },
            131 => Self::Pty,
            132 => Self::Started { pid: reader.u32()? },
            133 => Self::Stopped(reader.u8()?),
            134 => Self::Exited(reader.u8()?),
            135 => Self::Killed { signal: reader.u8()?, core: reader.bool()? },
            136 => Self::Failed { kind: FailureKind::from_number(reader.u8()?)?, text: reader.bytes()? },
            137 => Self::Done,
            138 => Self::Dialled,
            other => return Err(DecodeError::UnknownType(other)),
        })
    }
}
