package rows

import "time"

// controlPort is where our own programs over RDMA-CM keep step (cm.h).
const controlPort = 7900

// Ours are test/programs' that go through the calls and events of librdmacm, case by case. Host.Program makes each by its name.
func Ours() (all []Row) {
	const environment = "export CM_OWN=$IP; [ -z \"$IP6\" ] || export CM_OWN6=$IP6; "
	for _, name := range []string{"cmconnect", "cmend", "cmdatagram"} {
		all = append(all, Row{
			Name: name, CM: controlPort, Limit: 3 * time.Minute, Never: []string{"not ok"},
			Server: environment + "exec $DIR/" + name,
			Client: environment + "export CM_PEER=$SERVER CM_PEER6=$SERVER6; exec $DIR/" + name,
		})
	}
	return all
}
