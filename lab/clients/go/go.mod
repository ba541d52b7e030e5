module sluice.dev/clients

go 1.24
