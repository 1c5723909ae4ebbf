using System.Net;
using System.Net.Http.Headers;
using System.Net.Security;
using System.Net.Sockets;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using System.Text;

namespace Tanjiren.Server.Webhooks;

/// <summary>The addresses of a name; the system's resolver, or a test's.</summary>
internal delegate Task<IPAddress[]> NameLookup(string name, CancellationToken cancellationToken);

/// <summary><paramref name="Status"/>: of the answer, if there was one. <paramref name="Error"/>: in words that tell nothing of this server's own network.</summary>
internal readonly record struct SendResult(int? Status, string? Error)
{
    public bool Delivered => Status is >= 200 and < 300;
}

/// <summary>
/// One try of one message. Each makes a connection of its own, to an address that was looked up and judged for it: a name that led somewhere else a moment ago, or leads
/// somewhere else a moment later, makes no difference. No redirects and no proxy, for either would choose another address.
/// </summary>
internal sealed class WebhookSender : IDisposable
{
    /// <summary>For the whole try: name, connection, TLS, request and the headers of the answer.</summary>
    public static readonly TimeSpan Timeout = TimeSpan.FromSeconds(10);

    /// <summary>Of an answer's body, which is read so far and thrown away: it is not ours to show.</summary>
    private const int MaxAnswerBytes = 4096;

    /// <summary>When the try began, for the one that connects.</summary>
    private static readonly HttpRequestOptionsKey<long> Began = new("tanjiren.began");

    private readonly NameLookup _lookUp;
    private readonly bool _allowPrivate;
    private readonly TimeProvider _clock;
    private readonly HttpMessageInvoker _http;

    /// <exception cref="FormatException">The file of trusted certificates can't be read.</exception>
    public WebhookSender(WebhookOptions options, NameLookup lookUp, TimeProvider clock)
    {
        (_lookUp, _allowPrivate, _clock) = (lookUp, options.AllowPrivate, clock);
        _http = new HttpMessageInvoker(new SocketsHttpHandler
        {
            ConnectCallback = ConnectAsync,
            ConnectTimeout = Timeout,
            PooledConnectionLifetime = TimeSpan.Zero,
            AllowAutoRedirect = false,
            UseProxy = false,
            UseCookies = false,
            ActivityHeadersPropagator = null,
            MaxResponseHeadersLength = 16,
            MaxResponseDrainSize = MaxAnswerBytes,
            SslOptions = new SslClientAuthenticationOptions { CertificateChainPolicy = TrustIn(options.TrustedCertificates) },
        });
    }

    /// <exception cref="OperationCanceledException">The caller's token: whether it arrived is not known.</exception>
    public async Task<SendResult> SendAsync(string url, byte[] secret, string id, string body, CancellationToken cancellationToken)
    {
        using var timer = new CancellationTokenSource(Timeout, _clock);
        using var limited = CancellationTokenSource.CreateLinkedTokenSource(timer.Token, cancellationToken);
        try
        {
            using var request = Request(url, secret, id, body);
            using var response = await _http.SendAsync(request, limited.Token);
            var status = (int)response.StatusCode;
            return new SendResult(status, status is >= 300 and < 400 ? "redirects are not followed" : null);
        }
        catch (OperationCanceledException) when (!cancellationToken.IsCancellationRequested)
        {
            return new SendResult(null, $"no answer within {Timeout.TotalSeconds:0} s");
        }
        catch (Exception e) when (!cancellationToken.IsCancellationRequested)
        {
            // Whatever it was: unrecorded it would be tried without an end.
            return new SendResult(null, Reason(e));
        }
    }

    public void Dispose() => _http.Dispose();

    private HttpRequestMessage Request(string url, byte[] secret, string id, string body)
    {
        var timestamp = _clock.GetUtcNow().ToUnixTimeSeconds();
        var request = new HttpRequestMessage(HttpMethod.Post, url) { Content = new ByteArrayContent(Encoding.UTF8.GetBytes(body)) };
        request.Options.Set(Began, _clock.GetTimestamp());
        request.Content.Headers.ContentType = new MediaTypeHeaderValue("application/json");
        request.Headers.Add("User-Agent", "Tanjiren-Webhooks");
        request.Headers.Add("webhook-id", id);
        request.Headers.Add("webhook-timestamp", timestamp.ToString());
        request.Headers.Add("webhook-signature", WebhookRules.Sign(secret, id, timestamp, body));
        return request;
    }

    /// <summary>
    /// One address that may not be reached refuses the name: which of them a connection takes would be chance. Each gets its share of the time that is left, so one that swallows
    /// what is sent to it leaves some for the next.
    /// </summary>
    private async ValueTask<Stream> ConnectAsync(SocketsHttpConnectionContext context, CancellationToken cancellationToken)
    {
        var addresses = await _lookUp(context.DnsEndPoint.Host, cancellationToken);
        if (addresses.Any(address => !PublicAddress.MayReach(address, _allowPrivate))) throw new UnreachableAddressException();
        var began = context.InitialRequestMessage.Options.TryGetValue(Began, out var at) ? at : _clock.GetTimestamp();
        SocketException? failure = null;
        for (var i = 0; i < addresses.Length; i++)
        {
            var left = Timeout - _clock.GetElapsedTime(began);
            if (left <= TimeSpan.Zero) break; // the whole try is over
            using var timer = new CancellationTokenSource(left / (addresses.Length - i), _clock);
            using var limited = CancellationTokenSource.CreateLinkedTokenSource(timer.Token, cancellationToken);
            Socket? socket = null;
            try
            {
                // Also the socket: a kind of address that this machine does not have must give way to the next.
                socket = new Socket(addresses[i].AddressFamily, SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
                await socket.ConnectAsync(new IPEndPoint(addresses[i], context.DnsEndPoint.Port), limited.Token);
                return new NetworkStream(socket, ownsSocket: true);
            }
            catch (SocketException e)
            {
                socket?.Dispose();
                failure = e;
            }
            catch (OperationCanceledException) when (!cancellationToken.IsCancellationRequested)
            {
                socket?.Dispose();
                failure = new SocketException((int)SocketError.TimedOut);
            }
            catch (OperationCanceledException)
            {
                socket?.Dispose();
                throw;
            }
        }
        throw failure ?? new SocketException((int)(addresses.Length == 0 ? SocketError.HostNotFound : SocketError.TimedOut));
    }

    /// <summary>
    /// Nothing is fetched for a chain: by default an issuer that is missing is looked for at a URL that the receiver's own certificate names, before anything of it is trusted, and
    /// that connection would pass by <see cref="PublicAddress"/>. So receivers must send their intermediates, as TLS asks them to.
    /// </summary>
    private static X509ChainPolicy TrustIn(string? file)
    {
        var policy = new X509ChainPolicy { RevocationMode = X509RevocationMode.NoCheck, DisableCertificateDownloads = true };
        if (string.IsNullOrEmpty(file)) return policy;
        policy.TrustMode = X509ChainTrustMode.CustomRootTrust;
        try
        {
            policy.CustomTrustStore.ImportFromPemFile(file);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or CryptographicException)
        {
            throw new FormatException($"The setting Tanjiren:Webhooks:TrustedCertificates names '{file}', which can't be read as PEM certificates.", e);
        }
        if (policy.CustomTrustStore.Count == 0) throw new FormatException($"The setting Tanjiren:Webhooks:TrustedCertificates names '{file}', which holds no PEM certificate.");
        return policy;
    }

    private static string Reason(Exception e)
    {
        for (Exception? inner = e; inner is not null; inner = inner.InnerException)
        {
            switch (inner)
            {
                case UnreachableAddressException:
                    return "its name leads to an address that is not public";
                case SocketException { SocketErrorCode: SocketError.HostNotFound or SocketError.NoData or SocketError.TryAgain }:
                    return "the name is unknown";
                case SocketException { SocketErrorCode: SocketError.ConnectionRefused }:
                    return "connection refused";
            }
        }
        return (e as HttpRequestException)?.HttpRequestError switch
        {
            HttpRequestError.SecureConnectionError => "no secure connection: the certificate must be for this name, in time, of a trusted authority, and sent with its intermediates",
            HttpRequestError.ConnectionError => "no connection",
            HttpRequestError.ResponseEnded => "the connection was closed before the answer",
            _ => "the connection broke",
        };
    }

    private sealed class UnreachableAddressException() : Exception("The address may not be reached.");
}
