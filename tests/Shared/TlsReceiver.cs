using System.Collections.Concurrent;
using System.Net;
using System.Net.Security;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Server.Kestrel.Https;
using Microsoft.Extensions.DependencyInjection;

namespace Tanjiren.Tests;

/// <summary>An authority of one test. Nobody trusts it who is not given <see cref="File"/>.</summary>
public sealed class TestAuthority : IDisposable
{
    private readonly TemporaryDirectory _directory = new();
    private readonly X509Certificate2 _root;

    public TestAuthority()
    {
        using var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        var request = new CertificateRequest("CN=Authority of a test", key, HashAlgorithmName.SHA256);
        request.CertificateExtensions.Add(new X509BasicConstraintsExtension(certificateAuthority: true, hasPathLengthConstraint: false, 0, critical: true));
        request.CertificateExtensions.Add(new X509SubjectKeyIdentifierExtension(request.PublicKey, critical: false));
        _root = request.CreateSelfSigned(Now.AddDays(-1), Now.AddDays(2));
        System.IO.File.WriteAllText(File, _root.ExportCertificatePem());
    }

    /// <summary>Its certificate as PEM.</summary>
    public string File => _directory.File("authority.pem");

    private static DateTimeOffset Now => TimeProvider.System.GetUtcNow();

    /// <summary>For servers of this name.</summary>
    /// <param name="name">The name.</param>
    /// <param name="by">An intermediate; none: the root itself.</param>
    /// <param name="issuersUrl">Where, by its own word, the certificate of its issuer can be fetched.</param>
    public X509Certificate2 Issue(string name, X509Certificate2? by = null, string? issuersUrl = null)
    {
        using var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        var request = new CertificateRequest("CN=" + name, key, HashAlgorithmName.SHA256);
        var names = new SubjectAlternativeNameBuilder();
        names.AddDnsName(name);
        request.CertificateExtensions.Add(names.Build());
        request.CertificateExtensions.Add(new X509EnhancedKeyUsageExtension([new Oid("1.3.6.1.5.5.7.3.1")], critical: false));
        if (issuersUrl is not null) request.CertificateExtensions.Add(new X509AuthorityInformationAccessExtension(ocspUris: null, caIssuersUris: [issuersUrl]));
        using var certificate = request.Create(by ?? _root, Now.AddHours(-1), Now.AddDays(1), RandomNumberGenerator.GetBytes(8));
        using var withKey = certificate.CopyWithPrivateKey(key);
        return X509CertificateLoader.LoadPkcs12(withKey.Export(X509ContentType.Pkcs12), password: null);
    }

    /// <summary>An intermediate, with its key.</summary>
    public X509Certificate2 IssueIntermediate()
    {
        using var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        var request = new CertificateRequest("CN=Intermediate of a test", key, HashAlgorithmName.SHA256);
        request.CertificateExtensions.Add(new X509BasicConstraintsExtension(certificateAuthority: true, hasPathLengthConstraint: false, 0, critical: true));
        using var certificate = request.Create(_root, Now.AddHours(-2), Now.AddDays(1.5), RandomNumberGenerator.GetBytes(8));
        return certificate.CopyWithPrivateKey(key);
    }

    public void Dispose()
    {
        _root.Dispose();
        _directory.Dispose();
    }
}

/// <summary>A request as the receiver got it.</summary>
public sealed record ReceivedMessage(string Method, string Id, string Timestamp, string Signature, string Body, IReadOnlyDictionary<string, string> Headers);

/// <summary>A webhook's receiver: https on loopback, as <c>localhost</c>, by a certificate of the test's authority. It answers as the test says, 200 at first.</summary>
public sealed class TlsReceiver : IAsyncDisposable
{
    private readonly WebApplication _app;
    private readonly X509Certificate2 _certificate;
    private readonly ConcurrentQueue<ReceivedMessage> _received = new();
    private int _connections;

    private TlsReceiver(X509Certificate2 certificate, X509Certificate2Collection sentWithIt)
    {
        _certificate = certificate;
        // Offline, or it would itself fetch what it is not given.
        var chain = SslStreamCertificateContext.Create(certificate, sentWithIt, offline: true);
        var builder = WebApplication.CreateEmptyBuilder(new WebApplicationOptions());
        builder.WebHost.UseKestrelCore().UseKestrelHttpsConfiguration().ConfigureKestrel(kestrel => kestrel.Listen(IPAddress.Loopback, 0, listen =>
        {
            listen.Use(next => connection =>
            {
                Interlocked.Increment(ref _connections);
                return next(connection);
            });
            listen.UseHttps(new TlsHandshakeCallbackOptions { OnConnection = _ => ValueTask.FromResult(new SslServerAuthenticationOptions { ServerCertificateContext = chain }) });
        }));
        builder.Services.AddRoutingCore();
        _app = builder.Build();
        _app.Run(ReceiveAsync);
    }

    public Func<HttpContext, Task> Answer { get; set; } = static _ => Task.CompletedTask;

    public int Port => new Uri(_app.Urls.First()).Port;

    public string Url => $"https://localhost:{Port}/hook?token=1";

    public int Connections => Volatile.Read(ref _connections);

    public IReadOnlyList<ReceivedMessage> Received => [.. _received];

    public static Task<TlsReceiver> StartAsync(TestAuthority authority) => StartAsync(authority.Issue("localhost"), []);

    /// <summary>With this certificate, which it owns then, and these sent with it.</summary>
    public static async Task<TlsReceiver> StartAsync(X509Certificate2 certificate, X509Certificate2Collection sentWithIt)
    {
        var receiver = new TlsReceiver(certificate, sentWithIt);
        await receiver._app.StartAsync();
        return receiver;
    }

    /// <summary>Answers with this status from now on.</summary>
    public void AnswerWith(int status) => Answer = context =>
    {
        context.Response.StatusCode = status;
        return Task.CompletedTask;
    };

    public async ValueTask DisposeAsync()
    {
        using var now = new CancellationTokenSource();
        await now.CancelAsync();
        await _app.StopAsync(now.Token);
        await _app.DisposeAsync();
        _certificate.Dispose();
    }

    private async Task ReceiveAsync(HttpContext context)
    {
        using var reader = new StreamReader(context.Request.Body);
        var body = await reader.ReadToEndAsync();
        var headers = context.Request.Headers.ToDictionary(h => h.Key, h => h.Value.ToString(), StringComparer.OrdinalIgnoreCase);
        _received.Enqueue(new ReceivedMessage(context.Request.Method, headers["webhook-id"], headers["webhook-timestamp"], headers["webhook-signature"], body, headers));
        await Answer(context);
    }
}
