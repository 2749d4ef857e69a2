-- What lots issued against what wallets, hosts and the platform hold.
SELECT * FROM (
    SELECT (SELECT coalesce(sum(beans), 0) FROM bean_lot) AS issued,
           (SELECT coalesce(sum(balance), 0) FROM wallet) AS in_wallets,
           (SELECT coalesce(sum(host_beans), 0) FROM tip) AS of_hosts,
           (SELECT coalesce(sum(fee_beans), 0) FROM tip) AS of_platform
) AS s
WHERE issued - in_wallets - of_hosts - of_platform <> 0
