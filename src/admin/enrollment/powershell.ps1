# For PowerShell 7, or Windows PowerShell 5.1 with .NET Framework 4.7.2. Close the window only after the last line: the key is in it.
& {
$ErrorActionPreference = 'Stop'
$x509 = 'Security.Cryptography.X509Certificates'
$read = { param($pem) New-Object "$x509.X509Certificate2" -ArgumentList @(, [Text.Encoding]::ASCII.GetBytes($pem)) }
$root = & $read @'
{{ROOT}}'@
$trusted = New-Object "$x509.X509Store" -ArgumentList 'Root', 'CurrentUser'
$trusted.Open('ReadWrite'); $trusted.Add($root); $trusted.Close()
$key = {{POWERSHELL_KEY}}
$request = New-Object "$x509.CertificateRequest" -ArgumentList {{POWERSHELL_REQUEST}}
$send = @{
    Uri = '{{URL}}'; Method = 'Post'; UseBasicParsing = $true; ContentType = 'application/pkcs10'; Body = $request.CreateSigningRequest()
    Headers = @{ Authorization = 'Bearer {{TOKEN}}'; Accept = 'application/json' }
}
while (($answer = Invoke-WebRequest @send).StatusCode -eq 202) {
    Write-Host 'A second person must approve this. Asking again in {{RETRY}} seconds.'
    Start-Sleep -Seconds {{RETRY}}
}
$issued = $answer.Content | ConvertFrom-Json
$file = New-Object "$x509.X509Certificate2Collection"
[void]$file.Add([{{POWERSHELL_JOIN}}]::CopyWithPrivateKey((& $read $issued.certificate_pem), $key))
[void]$file.Add((& $read $issued.chain_pem))
$octets = New-Object byte[] 16
[Security.Cryptography.RandomNumberGenerator]::Create().GetBytes($octets)
$password = [BitConverter]::ToString($octets) -replace '-'
[IO.File]::WriteAllBytes("$PWD/{{NAME}}.pfx", $file.Export('Pfx', $password))
[IO.File]::WriteAllText("$PWD/{{NAME}}.pfx.password", $password)
Write-Host 'The key and the certificate are in {{NAME}}.pfx, its password is in {{NAME}}.pfx.password.'
}
