package wire

// Syndromes of the AETH (9.7.5.2.4, tables 44 to 46): bits 6 and 5 say what it is, the lower five are credits, a timer, or a cause.
const (
	SyndromeAck uint8 = 0x1f // acknowledged; 31 where credits would stand: flow control is not used
	SyndromeRNR uint8 = 0x20 // receiver not ready; with the code of the time to wait in the lower five bits

	SyndromeNAKSequence uint8 = 0x60 // PSN sequence error: send again from the PSN of this packet
	SyndromeNAKInvalid  uint8 = 0x61 // invalid request
	SyndromeNAKAccess   uint8 = 0x62 // remote access error
	SyndromeNAKOp       uint8 = 0x63 // remote operational error
)

// IsAck says whether the syndrome s acknowledges, with whatever credits.
func IsAck(s uint8) bool { return s&0x60 == 0 }

// IsRNR says whether s is a receiver not ready; s&0x1f is then the code of the time to wait.
func IsRNR(s uint8) bool { return s&0x60 == SyndromeRNR }

// IsNAK says whether s is a negative acknowledgement, of a known cause or not. Of 0x40 and up nothing is known: such a syndrome is
// none of the three.
func IsNAK(s uint8) bool { return s&0x60 == 0x60 }
