package fdconn

import "encoding/binary"

// OpenCM is the body of OPEN_CM.
type OpenCM struct {
	Version, Flags uint32
}

// ParseOpenCM reads the body of OPEN_CM.
func ParseOpenCM(body []byte) (OpenCM, error) {
	if len(body) != 8 {
		return OpenCM{}, ErrMalformed
	}
	return OpenCM{Version: binary.LittleEndian.Uint32(body), Flags: binary.LittleEndian.Uint32(body[4:])}, nil
}

// AppendCMOpened appends the body of OPEN_CM's reply to b: the inode of the program's end of the channel, which goes with it.
func AppendCMOpened(b []byte, inode uint64) []byte {
	return binary.LittleEndian.AppendUint64(b, inode)
}

// CMCommand is the body of CM_COMMAND.
//
//	0  u64 inode   8  u64 aux   16  u32 cmd_len   20  u32 data_len   24  command, padded to 8 bytes   then data
type CMCommand struct {
	Inode uint64 // of the channel that the program wrote to
	Aux   uint64 // MIGRATE_ID: the inode of the id's old channel; else 0
	Cmd   []byte // as the program wrote it, rdma_ucm_cmd_hdr included
	Data  []byte // SET_OPTION: what optval points to; else empty
}

const cmCommandSize = 24

// ParseCMCommand reads the body of CM_COMMAND; the result aliases it.
func ParseCMCommand(body []byte) (CMCommand, error) {
	if len(body) < cmCommandSize {
		return CMCommand{}, ErrMalformed
	}
	length, data := uint64(binary.LittleEndian.Uint32(body[16:])), uint64(binary.LittleEndian.Uint32(body[20:]))
	padded := (length + 7) &^ 7
	if uint64(len(body)) != cmCommandSize+padded+data {
		return CMCommand{}, ErrMalformed
	}
	return CMCommand{
		Inode: binary.LittleEndian.Uint64(body),
		Aux:   binary.LittleEndian.Uint64(body[8:]),
		Cmd:   body[cmCommandSize : cmCommandSize+length],
		Data:  body[cmCommandSize+padded:],
	}, nil
}

// AppendCMReply appends the body of CM_COMMAND's reply to b: how many events were withdrawn from a channel, whose tokens the
// library drops, and the response.
func AppendCMReply(b []byte, tokens uint32, response []byte) []byte {
	b = binary.LittleEndian.AppendUint32(b, tokens)
	b = binary.LittleEndian.AppendUint32(b, 0)
	return append(b, response...)
}
