-- What lots issued less what was refunded against what wallets, hosts and the platform hold; what hosts
-- were paid for in settlements counts as theirs.
SELECT * FROM (
    SELECT (SELECT coalesce(sum(beans), 0) FROM bean_lot) AS issued,
           (SELECT coalesce(sum(beans), 0) FROM lot_refund) AS refunded,
           (SELECT coalesce(sum(balance), 0) FROM wallet) AS in_wallets,
           (SELECT coalesce(sum(host_beans), 0) FROM tip) - (SELECT coalesce(sum(host_beans), 0) FROM tip_reversal) AS of_hosts,
           (SELECT coalesce(sum(fee_beans), 0) FROM tip) - (SELECT coalesce(sum(fee_beans), 0) FROM tip_reversal) AS of_platform
) AS s
WHERE issued - refunded - in_wallets - of_hosts - of_platform <> 0
