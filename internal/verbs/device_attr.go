package verbs

// The limits of the virtual device, as QueryDevice tells them and every create call enforces them.
const (
	MaxQP           = 65536 // per context: handles index the doorbell file
	MaxQPWR         = 32767
	MaxSGE          = 32
	MaxInline       = 1024
	MaxCQ           = 65536
	MaxCQE          = 1<<20 - 1
	MaxMR           = 1 << 20
	MaxMW           = 1 << 20
	MaxPD           = 1 << 20
	MaxAH           = 1 << 20
	MaxSRQ          = 65536
	MaxSRQWR        = 32767
	MaxSRQSGE       = 32
	MaxRdAtomic     = 128
	MaxMcastGroups  = 8192
	MaxMcastAttach  = 56
	MaxMessage      = 1 << 31
	NumCompVectors  = 1
	LocalCAAckDelay = 15
	PageSizeCap     = 0xfffff000
	MaxMTU          = 5 // 4096
)

// The device capability flags that hold (IBV_DEVICE_*).
const DeviceCapFlags = 1<<6 /* UD port enforced */ | 1<<7 /* current QP state modify */ | 1<<11 /* system image GUID */ | 1<<12 /* RC RNR NAK generation */ |
	1<<13 /* SRQ resize */ | 1<<17 /* memory windows */ | 1<<21 /* memory management extensions */ | 1<<24 /* type 2B windows */

// DeviceCapFlagsEx are the flags that only the extended query has room for.
const DeviceCapFlagsEx = DeviceCapFlags | 1<<40 /* atomic write */
