module sluice.dev/http2-head

go 1.24
