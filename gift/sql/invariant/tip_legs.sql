-- The host's leg is rounded down, the fee is the rest.
SELECT id, count, price, beans, host_ppm, host_beans, fee_beans
FROM tip
WHERE host_beans + fee_beans <> beans OR beans <> price * count
   OR host_beans <> floor(beans::numeric * host_ppm / 1000000)
