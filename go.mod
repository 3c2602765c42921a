module github.com/freeflow-rdma/freeflow

go 1.26
